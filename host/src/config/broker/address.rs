//! The address of Redis: one server, as a URL.

#[cfg(test)]
mod tests;

/// The forms of an address of Redis.
pub(super) const FORMS: &str = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS), unix:///PATH";

const ONE_SERVER: &str = "name one server; with Sentinel or replicas, the address of a proxy or a virtual IP that follows the master";

/// Returns whether the URL names Redis, in a supported form or not.
pub(super) fn is_redis(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| {
        scheme == "unix" || scheme.starts_with("redis") || scheme.starts_with("valkey")
    })
}

/// Returns whether connections to the URL use TLS.
pub(super) fn is_tls(url: &str) -> bool {
    url.starts_with("rediss://") || url.starts_with("valkeys://")
}

/// Returns what is wrong with a URL that names Redis, and what to write instead.
pub(super) fn fault(url: &str) -> Option<(&'static str, &'static str)> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (before_fragment, has_fragment) =
        rest.split_once('#').map_or((rest, false), |(before_fragment, _)| (before_fragment, true));
    let location = before_fragment.split('?').next().unwrap_or_default();
    let (authority, path) = location.split_once('/').unwrap_or((location, ""));
    let path = path.trim_matches('/');
    if scheme.contains("sentinel") {
        return Some(("Redis Sentinel is not supported", ONE_SERVER));
    }
    if scheme.contains("cluster") {
        return Some(("Redis Cluster is not supported", "name one server that is not part of a cluster"));
    }
    match scheme {
        "unix" | "redis+unix" | "valkey+unix" => {}
        "redis" | "rediss" | "valkey" | "valkeys" => {
            if authority.contains(',') {
                return Some(("several servers in one address are not supported", ONE_SERVER));
            }
            if !path.is_empty() && path.parse::<u32>().is_err() {
                return Some((
                    "the part after the host is not the number of a database",
                    "redis://HOST:PORT/0, not the name of a master: with Sentinel, use the address of a proxy or a virtual \
                     IP that follows the master",
                ));
            }
            if has_fragment {
                return Some((
                    "an address must not have a part after `#`: certificates are always verified",
                    "remove it, and name a private authority with `ca_file`",
                ));
            }
        }
        _ => return Some(("not an address of Redis", FORMS)),
    }
    is_unusable(url).then_some(("not an address of Redis", FORMS))
}

#[cfg(feature = "redis")]
fn is_unusable(url: &str) -> bool {
    crate::broker::redis::RedisConfig::new(url).connection_info().is_err()
}

#[cfg(not(feature = "redis"))]
const fn is_unusable(_: &str) -> bool {
    false
}

/// Returns whether the URL has `user:password@` before the host, or `pass=` among the options of a socket.
pub(super) fn has_password(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    // The last @ counts: an unescaped one may be part of the password. An @ after the authority means that the
    // password contains a slash.
    let user_info = authority.rsplit_once('@').map(|(user_info, _)| user_info);
    let in_authority = user_info.is_some_and(|user_info| user_info.contains(':'));
    let beyond = user_info.is_none() && authority.contains(':') && after_scheme.contains('@');
    let option = after_scheme.split_once('?').is_some_and(|(_, options)| {
        options.split('&').any(|option| option.starts_with("pass=") || option.starts_with("password="))
    });
    in_authority || beyond || option
}
