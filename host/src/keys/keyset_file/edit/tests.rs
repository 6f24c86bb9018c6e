use super::*;

const TEXT: &str = "\
# keys of the plant
[keyset] # for the signer
name = \"plant\"

# the old one
[[key]]
kid = \"0000000000000001\" # of 2025
  issuers = [
    \"a\", # first
    \"b\",
  ]
state = \"primary\"

# the new one
[[key]]
kid = \"0000000000000002\"
alg = \"ES256\"";

fn kid(last: u8) -> KeyId {
    KeyId::from_bytes([0, 0, 0, 0, 0, 0, 0, last])
}

fn quoted(text: &str) -> Option<String> {
    Some(format!("\"{text}\""))
}

#[test]
fn entry_that_is_missing_or_on_one_line_is_not_changed() {
    let inline = "key = [{ kid = \"0000000000000001\" }]\n";
    for (text, place) in [
        (TEXT, Target::Entry(kid(3))),
        (inline, Target::Entry(kid(1))),
        ("keyset = { name = \"a\" }\n", Target::Settings),
        ("keyset.name = \"a\"\n", Target::Settings),
        ("", Target::Settings),
        ("[keyset\n", Target::Settings),
    ] {
        assert_eq!(set(text, place, &[("state", quoted("staged"))]), Err(NotEditable), "{text}");
    }
    assert_eq!(remove(inline, kid(1)), Err(NotEditable));
}

#[test]
fn changed_removed_and_new_fields_leave_comments_and_other_entries_as_they_are() {
    let changes =
        [("state", quoted("retiring")), ("issuers", None), ("since", quoted("now")), ("none", None)];

    let changed = set(TEXT, Target::Entry(kid(1)), &changes).unwrap();

    let (before, after) = (
        "  issuers = [\n    \"a\", # first\n    \"b\",\n  ]\nstate = \"primary\"\n",
        "state = \"retiring\"\nsince = \"now\"\n",
    );
    assert_eq!(changed, TEXT.replace(before, after));
    let changed = set(TEXT, Target::Settings, &[("sequence", Some("2".to_owned()))]).unwrap();
    assert_eq!(changed, TEXT.replace("name = \"plant\"\n", "name = \"plant\"\nsequence = 2\n"));
}

#[test]
fn new_field_follows_a_last_line_without_a_line_break() {
    let changed = set(TEXT, Target::Entry(kid(2)), &[("state", quoted("staged"))]).unwrap();
    assert_eq!(changed, format!("{TEXT}\nstate = \"staged\"\n"));
}

#[test]
fn removed_entry_leaves_the_comment_of_the_next_one() {
    let removed = remove(TEXT, kid(1)).unwrap();
    assert!(
        removed.contains("# the old one\n# the new one\n[[key]]\nkid = \"0000000000000002\""),
        "{removed}"
    );
    assert!(!removed.contains("0000000000000001"));
    let last = remove(TEXT, kid(2)).unwrap();
    assert!(last.ends_with("# the new one\n"), "{last}");
}

#[test]
fn tombstone_keeps_only_the_fields_that_it_may_have() {
    let tombstone = keep_only(TEXT, kid(1), &["kid", "state"]).unwrap();
    assert!(tombstone.contains("kid = \"0000000000000001\" # of 2025\nstate = \"primary\"\n"), "{tombstone}");
}
