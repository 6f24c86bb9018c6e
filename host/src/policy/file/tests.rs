use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::policy::RuleChoice;

fn parse(text: &str) -> Result<TypeRules, FileError> {
    TypeRules::parse(Path::new("policy.toml"), text)
}

#[test]
fn faults_are_reported_with_their_line_and_a_hint() {
    for (text, line, message) in [
        ("defualt = \"deny\"", 1, "unknown field `defualt`"),
        ("default = \"maybe\"", 1, "unknown variant `maybe`"),
        ("[[type]]\nissuers = [\"a\"]", 1, "missing field `type`"),
        ("[[type]]\ntype = \"a*b\"", 2, "`a*b` is not a task type"),
        ("[[type]]\ntype = \"a b\"", 2, "`a b` is not a valid name"),
        ("[[type]]\ntype = \"a\"\n[[type]]\ntype = \"a\"", 4, "duplicate task type `a`"),
        ("[[type]]\ntype = \"a\"\nsuites = [\"X\"]", 3, "`X` is not a suite"),
        ("[[type]]\ntype = \"a\"\nissuers = [\"x y\"]", 3, "`x y` is not a pattern"),
        ("[[type]]\ntype = \"a\"\nqueues = [\"x/y\"]", 3, "`x/y` is not a queue name"),
        ("[[type]]\ntype = \"a\"\nkids = [\"12\"]", 3, "not a kid"),
        ("[[type]]\ntype = \"a\"\nmax_age = \"0s\"", 3, "\"0s\" is out of range"),
        ("[[type]]\ntype = \"a\"\nmax_body = \"17MiB\"", 3, "17825792 bytes are out of range"),
        ("[[type]]\ntype = \"a\"\nmode = \"warn\"", 3, "`warn` is not a mode"),
        ("[[type]]\ntype = \"a\"\nmode = \"off\"\nuntil = \"31.12.2026\"", 4, "not a date"),
        ("[[type]]\ntype = \"a\"\nuntil = \"2026-12-31\"", 3, "`until` without a `mode` that ends"),
        ("[[type]]\ntype = \"a\"\nsuite = \"S\"", 3, "unknown field `suite`"),
        ("[[issuer]]\nissuer = \"a*b\"\ntasks_per_minute = 1", 2, "`a*b` is not an issuer"),
        ("[[issuer]]\nissuer = \"a\"", 1, "missing field `tasks_per_minute`"),
        ("[[issuer]]\nissuer = \"a\"\ntasks_per_minute = 0", 3, "0 is out of range"),
    ] {
        let fault = parse(text).unwrap_err();
        assert_eq!((fault.position.unwrap().line, fault.message.as_str()), (line, message), "{text}");
        assert!(fault.hint.is_some() || message.starts_with("missing"), "no hint: {fault}");
    }
}

#[test]
fn file_that_others_can_change_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let fault = TypeRules::load(&file).unwrap_err();
    assert!(fault.message.contains("can be written by group or others"), "{fault}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(TypeRules::load(&file).unwrap().choose("email:send"), RuleChoice::Denied);
}

#[test]
fn mode_becomes_enforce_after_its_last_day() {
    let mode = |until: &str, at: &str| {
        let text = format!("[[type]]\ntype = \"a\"\nmode = \"observe\"\n{until}");
        parse(&text).unwrap().all()[0].mode_at(rfc3339::parse(at).unwrap())
    };
    let day = "until = \"2026-12-31\"";
    assert_eq!(mode(day, "2027-01-01T00:00:00Z"), Mode::Enforce);
    assert_eq!(mode(day, "2026-12-31T23:59:59.999Z"), Mode::Observe);
    let time = "until = \"2026-12-31T08:00:00+01:00\"";
    assert_eq!(mode(time, "2026-12-31T07:00:00Z"), Mode::Enforce);
    assert_eq!(mode(time, "2026-12-31T06:59:59Z"), Mode::Observe);
    assert_eq!(mode("", "9999-01-01T00:00:00Z"), Mode::Observe);
    assert_eq!(parse("[[type]]\ntype = \"a\"").unwrap().all()[0].mode, Mode::Enforce);
}

#[test]
fn every_field_is_read() {
    let rules = parse(
        "default = \"allow\"\n[[type]]\ntype = \"email:*\"\nsuites = [\"sign\"]\nbatches = true\n\
         issuers = [\"shop\", \"erp-*\"]\nqueues = [\"mail\"]\nkids = [\"0011223344556677\"]\n\
         max_age = \"1h\"\nmax_lifetime = \"2h\"\nmax_body = \"64KiB\"\n",
    )
    .unwrap();
    assert_eq!(rules.default_action(), DefaultAction::Allow);
    let rule = &rules.all()[0];
    assert_eq!(rule.issuers.as_deref(), Some("shop erp-*"));
    assert_eq!(rule.queues.as_ref().unwrap()[0].as_str(), "mail");
    assert_eq!(rule.kids.as_ref().unwrap()[0].to_string(), "0011223344556677");
    assert_eq!(rule.max_age.unwrap().as_secs(), 3600);
    assert_eq!(rule.max_lifetime.unwrap().as_secs(), 7200);
    assert_eq!((rule.max_body, rule.batches), (Some(64 << 10), Some(true)));
}

#[test]
fn quota_of_the_longest_pattern_holds_and_a_duplicate_is_refused() {
    let quota =
        |issuer: &str, count: u32| format!("[[issuer]]\nissuer = \"{issuer}\"\ntasks_per_minute = {count}\n");
    let rules = parse(&[quota("*", 1), quota("erp-*", 2), quota("erp-1", 3)].concat()).unwrap();
    let of = |issuer| rules.quota_of(issuer).map(|quota| quota.tasks_per_minute);
    assert_eq!((of("shop"), of("erp-2"), of("erp-1")), (Some(1), Some(2), Some(3)));
    assert_eq!(parse(&quota("erp", 2)).unwrap().quota_of("shop"), None);
    let fault = parse(&[quota("erp", 2), quota("erp", 3)].concat()).unwrap_err();
    assert_eq!((fault.position.unwrap().line, &*fault.message), (5, "duplicate issuer `erp`"));
}
