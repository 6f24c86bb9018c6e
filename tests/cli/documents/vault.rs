//! The page about keys in Vault: with the program `vault` and its development server where it is installed, otherwise with the contract server.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use base64ct::{Base64, Encoding as _};
use serde_json::json;
use taskseal::keys::{Algorithm, SecretKey};
use taskseal_tests::documents::Page;
use taskseal_tests::vault::ContractVault;

use super::languages::have;
use super::reader::{Reader, first};
use super::services::{configure, project_without_task_keys, run_in_project, run_task};
use crate::support::queue::until;

/// A development server, which keeps everything in memory. It is killed at the end.
struct DevelopmentServer {
    child: Child,
    address: String,
}

impl DevelopmentServer {
    fn start(reader: &Reader) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new("vault")
            .args(["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"])
            .arg(format!("-dev-listen-address={address}"))
            .env("HOME", reader.path(""))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(reader.path("vault.log")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address };
        until("the server to listen", || TcpStream::connect(&server.address).is_ok());
        // It prints this line when the engines are mounted.
        until("the server to be ready", || {
            std::fs::read_to_string(reader.path("vault.log")).unwrap().contains("Root Token: root")
        });
        server
    }
}

impl Drop for DevelopmentServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The reader is logged in as an administrator of the server.
pub(crate) fn keys_in_vault(reader: &mut Reader) {
    project_without_task_keys(reader);
    if have("vault", "version") {
        let server = DevelopmentServer::start(reader);
        let _ = reader.prepare(&format!("export VAULT_ADDR=http://{} VAULT_TOKEN=root", server.address));
        add_section(reader, &format!("http://{}", server.address));
        run_page(reader);
    } else {
        with_contract_server(reader);
    }
}

/// Runs the page, then a task with its HMAC key.
fn run_page(reader: &mut Reader) {
    let mut kid = String::new();
    run_in_project(reader, |reader, _| {
        if reader.exists("mac.key") && kid.is_empty() {
            let keyset = reader.read("keyset.toml");
            kid = keyset.rsplit("kid = \"").next().unwrap().split('"').next().unwrap().to_owned();
            reader.replace("0011223344556677", &kid);
        }
    });
    let uri = format!("vault://transit/keys/mac?version=1&kid={kid}");
    configure(
        reader,
        &format!("[client]\nsuite = \"M\"\nkey = \"{uri}\"\n[policy]\nsuites = [\"SP\", \"M\"]"),
    );
    run_task(reader);
}

/// Adds the section of the page that names the server.
fn add_section(reader: &mut Reader, address: &str) {
    let page: Page = reader.page.clone();
    reader.replace("https://vault.example:8200", address);
    let configuration = reader.read("taskseal.toml");
    reader.write("taskseal.toml", &format!("{configuration}\n{}", first(&page, "toml").text), 0o644);
}

/// What the skipped commands create.
fn with_contract_server(reader: &mut Reader) {
    let server = ContractVault::start();
    add_section(reader, &server.address());
    server.app_role("plant", "hunter2");
    reader.write("vault-role-id", "plant", 0o600);
    reader.write("vault-secret-id", "hunter2", 0o600);
    let server = Rc::new(server);
    let shared = Rc::clone(&server);
    reader.lack("vault ", move |reader, command| {
        if command.starts_with("vault write -f transit/keys/shop") {
            let key = SecretKey::create(&reader.path("transit.key"), Algorithm::Es256, "Transit").unwrap();
            let SecretKey::Sign(key) = key else { panic!("another key") };
            shared.add_signing_key("shop", *key);
        } else if command.starts_with("vault kv put") {
            shared.put("plant/worker", json!({ "key": reader.read("worker.key") }));
        } else if command.starts_with("vault transit import") {
            let secret = Base64::decode_vec(reader.read("mac.b64").trim()).unwrap();
            shared.add_hmac_key("mac", secret.try_into().unwrap());
        }
    });
    run_page(reader);
    assert_eq!(server.violations(), Vec::<String>::new());
}
