//! Signed keysets from a web server, which need not be trusted and is not always available.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::fs;
use std::time::Duration;

use taskseal::Config;
use taskseal::config::{KeysetCarrier, KeysetServer};
use taskseal::keys::{KeyringError, KeysetErrorKind, KeysetHead};
use taskseal_tests::authority::Authority;
use taskseal_tests::fleet::unix_now;
use taskseal_tests::keyset::{Root, Signed};
use taskseal_tests::site::{Site, replace, task};
use taskseal_tests::vault::{ContractVault, VaultOutage};
use taskseal_tests::web_server::{WebFault, WebServer};

/// A site whose hosts fetch the keyset from a web server.
struct Rooted {
    site: Site,
    root: Root,
    server: WebServer,
}

impl Rooted {
    fn new() -> Self {
        let (site, root, server) = (Site::new(), Root::new(1, "site"), WebServer::start(true));
        let keys = format!("[keys]\nroots = [\"{}\"]\nkeyset_url = \"{}\"\n", root.public(), server.url());
        site.write_config("keys/producer.key", &keys);
        Self { site, root, server }
    }

    /// Signs the next keyset, with the keys of the draft.
    fn sign(&mut self) -> Signed {
        self.root.sign(&self.site.path("keyset.toml"), &[], unix_now(), 3600)
    }

    /// Returns a host that gives up after a short time.
    fn config(&self) -> Config {
        let mut config = self.site.config();
        let server = KeysetServer::new(&self.server.url(), None, false).unwrap();
        config.keyset_carrier = Some(KeysetCarrier::Server(server.with_timeout(Duration::from_millis(500))));
        config
    }

    fn head(&self, config: &Config) -> KeysetHead {
        config.keyring().unwrap().head().unwrap().clone()
    }
}

const FAULTS: [(WebFault, &str); 8] = [
    (WebFault::Status(404), "answered 404"),
    (WebFault::Status(403), "answered 403"),
    (WebFault::Status(500), "answered 500"),
    (WebFault::Status(302), "a redirect that is not followed"),
    (WebFault::Page, "a web page in place of a keyset"),
    (WebFault::CutOff, "was cut off"),
    (WebFault::Closed, "cannot be reached"),
    (WebFault::Silent, "did not answer within"),
];

#[test]
fn host_without_a_copy_does_not_start_while_the_server_fails_and_one_with_a_copy_does() {
    let mut rooted = Rooted::new();
    let keyset = rooted.sign();
    rooted.server.put(&keyset.bytes);
    for (fault, message) in FAULTS {
        rooted.server.fail(Some(fault));
        let KeyringError::Keyset(error) = rooted.config().keyring().unwrap_err() else { panic!("{fault:?}") };
        assert_eq!(error.kind, KeysetErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().starts_with(&rooted.server.url()), "{error}");
    }
    rooted.server.fail(None);
    assert_eq!(rooted.head(&rooted.config()).sequence, 1);
    for (fault, _) in FAULTS {
        rooted.server.fail(Some(fault));
        let head = rooted.head(&rooted.config());
        assert_eq!((head.sequence, head.refused.len()), (1, 1), "{fault:?}");
    }
}

#[test]
fn neither_an_older_nor_a_changed_nor_a_too_long_keyset_of_the_server_is_used() {
    let mut rooted = Rooted::new();
    let (first, second) = (rooted.sign(), rooted.sign());
    rooted.server.put(&second.bytes);
    let config = rooted.config();
    assert_eq!(rooted.head(&config).sequence, 2);
    let mut changed = second.bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (bytes, code) in [
        (&first.bytes, "rolled-back"),
        (&changed, "rejected"),
        (&second.bytes[..100].to_vec(), "malformed"),
        (&vec![0xd2; 1 << 20], "too-large"),
    ] {
        rooted.server.put(bytes);
        let head = rooted.head(&config);
        let [KeyringError::Keyset(refused)] = &*head.refused else { panic!("{code}: {:?}", head.refused) };
        assert_eq!((head.sequence, refused.kind.code()), (2, code));
    }
}

#[test]
fn keyset_is_fetched_whole_whatever_tag_the_server_gave_to_an_earlier_one() {
    let mut rooted = Rooted::new();
    let config = rooted.config();
    // All answers of the server have the same tag.
    for sequence in 1..=2 {
        let keyset = rooted.sign();
        rooted.server.put(&keyset.bytes);
        for _ in 0..2 {
            assert_eq!(rooted.head(&config).sequence, sequence);
        }
    }
    assert_eq!(rooted.server.requests(), ["GET 200"; 4]);
}

#[test]
fn certificate_of_the_server_is_verified_and_no_redirect_leaves_tls() {
    let (Some(authority), Some(other)) = (Authority::create(), Authority::create()) else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let server = ContractVault::start_tls(&authority);
    let url = format!("{}/v1/secret/data/none", server.address());
    let trusting =
        |authority: &Authority| KeysetServer::new(&url, Some(&authority.file("ca.crt")), false).unwrap();
    for foreign in [KeysetServer::new(&url, None, false).unwrap(), trusting(&other)] {
        let error = foreign.published().unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
    server.fail([VaultOutage::Redirected]);
    let error = trusting(&authority).published().unwrap_err().to_string();
    assert!(error.contains("redirects to http:"), "{error}");
    // It answers, with an error that is not a keyset.
    let error = trusting(&authority).published().unwrap_err().to_string();
    assert!(error.contains("answered 403"), "{error}");
}

#[tokio::test]
async fn processes_that_run_load_the_next_keyset_and_report_a_server_that_fails() {
    let mut rooted = Rooted::new();
    let text = fs::read_to_string(rooted.site.path("taskseal.toml")).unwrap();
    replace(&rooted.site.path("taskseal.toml"), &text.replace("[keys]\n", "[keys]\nrefresh = \"1s\"\n"));
    let first = rooted.sign();
    rooted.server.put(&first.bytes);
    let worker = rooted.site.start_worker();
    let client = rooted.site.client();

    rooted.server.fail(Some(WebFault::Status(503)));
    worker.log.until(1, "the server answered 503").await;
    client.enqueue(task(1)).await.unwrap();
    worker.log.until(1, "succeeded").await;
    rooted.server.fail(None);
    rooted.site.write_keyset(&[("producer", "state = \"compromised\""), ("worker", "")]);
    let second = rooted.sign();
    rooted.server.put(&second.bytes);
    worker.log.until(1, "primary -> compromised").await;
    // The older one does not return.
    rooted.server.put(&first.bytes);
    worker.log.until(1, "(rolled-back)").await;
    worker.stop().await;
    assert!(rooted.config().keyring().unwrap().head().unwrap().sequence == 2);
}
