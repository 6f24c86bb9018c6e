//! Which addresses are refused, and with which words.

use super::*;

#[test]
fn addresses_of_sentinel_and_cluster_are_refused_by_name() {
    for url in ["redis-sentinel://h:26379/mymaster", "redis+sentinel://h", "rediss+sentinel://h"] {
        let (message, hint) = fault(url).expect(url);
        assert!(
            is_redis(url) && message.contains("Sentinel") && hint.contains("virtual IP"),
            "{url}: {message}"
        );
    }
    for url in ["redis+cluster://h", "redis-cluster://h:7000"] {
        let (message, hint) = fault(url).expect(url);
        assert!(
            is_redis(url) && message.contains("Cluster") && hint.contains("one server"),
            "{url}: {message}"
        );
    }
}

#[test]
fn several_servers_and_the_name_of_a_master_are_refused() {
    for url in ["redis://h1,h2", "redis://h1:6379,h2:6379/0", "rediss://h1,h2/0?x=1", "redis://user@h1,h2"] {
        assert!(fault(url).expect(url).0.contains("several servers"), "{url}");
    }
    for url in ["redis://h/mymaster", "redis://h/0/1", "redis://h/-1", "valkey://h/master?x=1"] {
        let (message, hint) = fault(url).expect(url);
        assert!(message.contains("number of a database") && hint.contains("virtual"), "{url}: {message}");
    }
}

#[test]
fn addresses_that_lead_nowhere_are_refused() {
    for url in ["redis+tcp://h", "redis-socket://h"] {
        assert_eq!(fault(url).expect(url).0, "not an address of Redis", "{url}");
    }
    assert!(fault("rediss://h#insecure").expect("refused").0.contains('#'));
}

#[cfg(feature = "redis")]
#[test]
fn addresses_that_the_client_cannot_read_are_refused() {
    for url in ["redis://", "redis://h:port", "redis://0.0.0.0", "redis://h:99999", "unix://relative/path"] {
        assert_eq!(fault(url).expect(url), ("not an address of Redis", FORMS), "{url}");
    }
}

#[test]
fn addresses_of_one_server_are_accepted() {
    for url in [
        "redis://h",
        "redis://h/",
        "redis://user@h:6379/3",
        "rediss://[::1]:6380/0",
        "valkey://h",
        "valkeys://h/1",
        "unix:///run/redis.sock?db=2",
        "redis+unix:///run/redis.sock",
    ] {
        assert_eq!((is_redis(url), fault(url)), (true, None), "{url}");
    }
    assert!(is_tls("rediss://h") && is_tls("valkeys://h") && !is_tls("valkey://h"));
}
