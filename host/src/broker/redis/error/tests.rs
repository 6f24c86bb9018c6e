//! Errors as Redis words them.

use std::io;

use redis::{RedisError, Value, parse_redis_value};

use super::{ends_connection, while_calling, while_connecting};
use crate::broker::{BrokerError, Cause};

fn reply(line: &str) -> RedisError {
    match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
        Ok(Value::ServerError(error)) => error.into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_credentials_and_missing_rights_are_refused() {
    for line in [
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR unknown command 'ZMSCORE'",
    ] {
        assert!(matches!(while_calling(reply(line)), BrokerError::Refused(_)), "{line}");
        assert!(matches!(while_connecting(reply(line)), BrokerError::Refused(_)), "{line}");
    }
}

#[test]
fn a_server_that_is_busy_with_itself_is_unavailable() {
    for line in [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "CLUSTERDOWN Hash slot not served",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "READONLY You can't write against a read only replica.",
        "ERR max number of clients reached",
        "ERR READONLY You can't write against a read only replica.",
        "ERR proxy: READONLY You can't write against a read only replica.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    ] {
        assert!(matches!(while_calling(reply(line)), BrokerError::Unavailable(_)), "{line}");
    }
}

#[test]
fn no_room_is_full_inside_a_script_too() {
    for line in [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "OOM command not allowed when used memory > 'maxmemory'. script: 6f1a, on @user_script:66.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "ERR Error running script (call to f_6f1a): @user_script:66: @user_script: 66: -OOM command not allowed",
    ] {
        assert!(matches!(while_calling(reply(line)), BrokerError::Full(_)), "{line}");
    }
}

#[test]
fn a_lost_connection_leaves_a_doubt_only_once_a_request_was_sent() {
    for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::TimedOut, io::ErrorKind::ConnectionReset] {
        assert!(matches!(while_calling(io::Error::from(kind).into()), BrokerError::Ambiguous(_)));
        assert!(matches!(while_connecting(io::Error::from(kind).into()), BrokerError::Unavailable(_)));
    }
}

#[test]
fn a_replica_and_a_broken_stream_end_the_connection_and_a_refusal_does_not() {
    assert!(ends_connection(&reply("READONLY You can't write against a read only replica.")));
    assert!(ends_connection(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
    assert!(!ends_connection(&reply("OOM command not allowed when used memory > 'maxmemory'.")));
}

#[test]
fn words_of_the_server_name_the_wrong_setting() {
    for (line, cause) in [
        ("NOAUTH Authentication required.", Cause::Credentials),
        ("NOAUTH HELLO must be called with the client already authenticated", Cause::Credentials),
        ("WRONGPASS invalid username-password pair or user is disabled.", Cause::Credentials),
        (
            "ERR AUTH <password> called without any password configured for the default user.",
            Cause::Credentials,
        ),
        ("NOPERM this user has no permissions to run the 'evalsha' command", Cause::Permission),
        ("ERR unknown command 'SMEMBERS', with args beginning with: 'asynq:queues'", Cause::UnknownCommand),
        ("MOVED 3999 127.0.0.1:6381", Cause::Cluster),
        ("CROSSSLOT Keys in request don't hash to the same slot", Cause::Cluster),
        ("CLUSTERDOWN Hash slot not served", Cause::Cluster),
        ("READONLY You can't write against a read only replica.", Cause::Replica),
    ] {
        assert_eq!(while_calling(reply(line)).cause(), Some(cause), "{line}");
        assert_eq!(while_connecting(reply(line)).cause(), Some(cause), "{line}");
    }
    for line in ["LOADING Redis is loading the dataset in memory", "OOM command not allowed", "ERR other"] {
        assert_eq!(while_calling(reply(line)).cause(), None, "{line}");
    }
}

#[test]
fn words_of_tls_name_the_wrong_setting() {
    for (text, cause) in [
        ("invalid peer certificate: UnknownIssuer", Some(Cause::ServerCertificate)),
        ("invalid peer certificate: Expired", Some(Cause::ServerCertificate)),
        ("received fatal alert: CertificateRequired", Some(Cause::ClientCertificate)),
        ("received fatal alert: UnknownCA", Some(Cause::ClientCertificate)),
        ("received fatal alert: ProtocolVersion", None),
        ("received corrupt message of type InvalidContentType", Some(Cause::Protocol)),
        ("connection refused", None),
    ] {
        let error = || io::Error::other(text).into();
        assert_eq!(while_connecting(error()).cause(), cause, "{text}");
        assert_eq!(while_calling(error()).cause(), cause, "{text}");
    }
}

#[test]
fn a_server_that_closes_the_first_connection_may_speak_another_protocol() {
    let closed = || io::Error::from(io::ErrorKind::UnexpectedEof).into();
    assert_eq!(while_connecting(closed()).cause(), Some(Cause::Protocol));
    assert_eq!(while_calling(closed()).cause(), None);
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(while_connecting(refused.into()).cause(), None);
}
