//! Pages about keys in services: a project whose task keys the page creates, and the service that it names.

use taskseal_tests::authority::Authority;
use taskseal_tests::azure::AzureServer;
use taskseal_tests::contract::Contract;
use taskseal_tests::documents::Block;
use taskseal_tests::google::{GoogleServer, key_file};
use taskseal_tests::ministack::{Ministack, program_or_skip};

use super::languages::have;
use super::reader::Reader;

/// Creates a project of the issuer `shop` in the folder of the shell, without the two keys of tasks: that of the client and that of the
/// worker.
pub(super) fn project_without_task_keys(reader: &mut Reader) {
    reader.enter("project");
    let _ = reader.prepare(
        "taskseal init . --deployment prod
        sed -i 's/\"producer\"/\"shop\"/; s/file:digest/invoice:digest/' taskseal.toml keyset.toml
        rm keys/producer.key keys/worker.key",
    );
    let keyset = reader.read("keyset.toml");
    let entries: Vec<&str> =
        keyset.split("\n[[key]]").filter(|entry| !entry.contains("use = \"task\"")).collect();
    reader.write("keyset.toml", &entries.join("\n[[key]]"), 0o644);
}

/// Sets the fields that an example of the page shows, each in its section of the configuration.
pub(super) fn configure(reader: &Reader, example: &str) {
    let mut section = "";
    for line in example.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((name, _)) = line.split_once(" = ") {
            let configuration = reader.read("taskseal.toml");
            let (before, after) =
                configuration.split_once(&format!("{section}\n")).expect("the section exists");
            let start = format!("{name} = ");
            let is_field = |line: &&str| line.starts_with(&start);
            let former = after.lines().find(is_field).expect("the field exists");
            let after = after.replacen(former, line, 1);
            reader.write("taskseal.toml", &format!("{before}{section}\n{after}"), 0o644);
        }
    }
}

/// Runs the blocks of the page in a project, and then a task with the keys of the page. `each` is called before each block.
pub(super) fn run_in_project(reader: &mut Reader, mut each: impl FnMut(&mut Reader, &Block<'_>)) {
    let page = reader.page.clone();
    for block in page.blocks() {
        each(reader, &block);
        if block.language == "text" {
            configure(reader, block.text);
        }
        let _ = reader.run(&block);
    }
    run_task(reader);
}

/// Enqueues a task, which the worker runs.
pub(super) fn run_task(reader: &mut Reader) {
    let id =
        reader.prepare("taskseal enqueue --quiet --queue default --type invoice:digest --payload sample.txt");
    let _ = reader.prepare("taskseal worker --once");
    let result = reader.prepare(&format!("taskseal result {id}"));
    assert!(result.contains("sha256"), "{result}");
}

/// Returns whether the program was built with a feature; a page that needs it is skipped without.
fn built_with(reader: &mut Reader, feature: &str, is_built: bool) -> bool {
    if !is_built {
        reader.skip(&format!("the feature {feature}: `tests/run cloud` builds it"));
    }
    is_built
}

/// Lets the program reach the services of a provider under their names, through a proxy that answers for them.
fn use_proxy(reader: &mut Reader, contract: &Contract, authority: &Authority) {
    let proxy = format!("http://{}", contract.address());
    let _ = reader.prepare(&format!("export HTTPS_PROXY={proxy} https_proxy={proxy}"));
    reader.export("SSL_CERT_FILE", &authority.file("ca.crt"));
}

/// The command line of AWS and an emulator.
pub(crate) fn keys_in_aws(reader: &mut Reader) {
    if !built_with(reader, "aws", cfg!(feature = "aws")) {
        return;
    }
    let (Some(program), Some(server)) = (program_or_skip(), Ministack::start_or_skip()) else {
        return reader.skip("ministack");
    };
    let tools = program.parent().expect("the program is in a folder").display();
    let _ = reader.prepare(&format!(
        "export PATH=\"{tools}:$PATH\" AWS_ENDPOINT_URL=http://{} AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1
        export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true",
        server.address()
    ));
    project_without_task_keys(reader);
    run_in_project(reader, |_, _| ());
}

/// A proxy to the vault and to the authority. It has the key of the page, and gets the secret when the page stores it.
pub(crate) fn keys_in_azure(reader: &mut Reader) {
    if !built_with(reader, "azure", cfg!(feature = "azure")) {
        return;
    }
    let Some((server, authority)) = AzureServer::start_proxy() else { return reader.skip("openssl") };
    use_proxy(reader, &server.contract, &authority);
    server.vault().client_secret = "secret77".to_owned();
    let _ =
        reader.prepare("export AZURE_TENANT_ID=tenant AZURE_CLIENT_ID=client AZURE_CLIENT_SECRET=secret77");
    project_without_task_keys(reader);
    run_in_project(reader, |reader, _| {
        if reader.exists("worker.key") {
            server.vault().secrets.insert("worker-key".to_owned(), reader.read("worker.key"));
        }
    });
}

/// A proxy to the services of Google, and `gcloud` where it is installed.
pub(crate) fn keys_in_google(reader: &mut Reader) {
    if !built_with(reader, "gcp", cfg!(feature = "gcp")) {
        return;
    }
    let Some((server, authority)) = GoogleServer::start_proxy() else { return reader.skip("openssl") };
    use_proxy(reader, &server.contract, &authority);
    reader.write("shop.json", &key_file().to_string(), 0o600);
    reader.export("GOOGLE_APPLICATION_CREDENTIALS", &reader.path("shop.json"));
    if have("gcloud", "--version") {
        prepare_gcloud(reader, &authority);
        project_without_task_keys(reader);
        return run_in_project(reader, |_, _| ());
    }
    reader.lack("gcloud ", move |reader, command| {
        if command.starts_with("gcloud kms keys create") {
            let key = "projects/plant-1/locations/europe-west3/keyRings/plant/cryptoKeys/shop";
            server.state().keys.push(format!("{key}/cryptoKeyVersions/1"));
        } else if command.starts_with("gcloud secrets create") {
            let secret = Some((1, reader.read("worker.key").into_bytes()));
            server.state().secrets.insert("projects/plant-1/secrets/worker-key".to_owned(), secret);
        }
    });
    project_without_task_keys(reader);
    run_in_project(reader, |_, _| ());
}

/// The reader is logged in as the service account, with a project.
fn prepare_gcloud(reader: &mut Reader, authority: &Authority) {
    for variable in ["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "REQUESTS_CA_BUNDLE"] {
        reader.export(variable, &authority.file("ca.crt"));
    }
    let _ = reader.prepare(
        "export CLOUDSDK_CONFIG=\"$HOME/gcloud\" CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=\"$HOME/shop.json\"
        export CLOUDSDK_CORE_PROJECT=plant-1 CLOUDSDK_CORE_DISABLE_PROMPTS=1 CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1
        export CLOUDSDK_CORE_CHECK_GCE_METADATA=false",
    );
}
