use super::*;

fn handlers(patterns: &[&str]) -> Handlers {
    let mut handlers = Handlers::default();
    for pattern in patterns {
        let name = (*pattern).to_owned();
        handlers.insert(
            pattern,
            Arc::new(Function::new(move |_| {
                let name = name.clone();
                async move { Ok(Output::new(ContentType::OCTETS, name.into_bytes())) }
            })),
        );
    }
    handlers
}

fn task(task_type: &str, body: &[u8]) -> OpenedTask {
    OpenedTask {
        id: TaskId::from_bytes([7; 16]),
        sealed_by: None,
        issuer: "shop".into(),
        task_type: task_type.into(),
        queue: QueueName::parse("mail").unwrap(),
        content_type: "application/json".into(),
        attempt: 1,
        timeout: Duration::from_secs(1),
        body: body.to_vec().into(),
    }
}

/// Returns the pattern whose handler runs a task type.
async fn found(handlers: &Handlers, task_type: &str) -> Option<String> {
    let output = handlers.find(task_type)?.run(task(task_type, b"")).await.unwrap();
    Some(String::from_utf8(output.body.to_vec()).unwrap())
}

#[tokio::test]
async fn whole_type_precedes_a_prefix_and_a_longer_prefix_precedes_a_shorter_one() {
    let handlers = handlers(&["email:*", "*", "email:send", "email:send:*"]);
    for (task_type, pattern) in [
        ("email:send", "email:send"),
        ("email:send:now", "email:send:*"),
        ("email:", "email:*"),
        ("email", "*"),
        ("Email:send", "*"),
    ] {
        assert_eq!(found(&handlers, task_type).await.as_deref(), Some(pattern), "{task_type}");
    }
}

#[tokio::test]
async fn backoff_applies_to_the_handler_of_its_pattern() {
    let mut handlers = handlers(&["email:*", "email:send"]);
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(2));
    assert!(!handlers.set_backoff("email:", backoff) && !handlers.set_backoff("*", backoff));
    assert!(handlers.set_backoff("email:*", backoff));
    let backoff_of = |task_type: &str| handlers.find(task_type).unwrap().backoff();
    assert_eq!((backoff_of("email:other"), backoff_of("email:send")), (Some(backoff), None));
    assert_eq!(found(&handlers, "email:other").await.as_deref(), Some("email:*"));
}

#[tokio::test]
async fn type_that_matches_no_pattern_has_no_handler() {
    let handlers = handlers(&["email:*", "invoice"]);
    for task_type in ["", "email", "invoice:pay", "invoic", "xemail:send"] {
        assert_eq!(found(&handlers, task_type).await, None, "{task_type}");
    }
}

#[tokio::test]
async fn patterns_match_exactly_the_types_with_a_handler() {
    let handlers = handlers(&["email:*", "invoice"]);
    let patterns = handlers.patterns();
    let set = NameSet::new(&patterns);
    for task_type in ["email:send", "email:", "email", "invoice", "invoice:pay", "x"] {
        assert_eq!(set.contains(task_type), handlers.find(task_type).is_some(), "{task_type}");
    }
    assert!(Handlers::default().is_empty() && Handlers::default().patterns().is_empty());
}

#[test]
fn body_that_is_not_json_gives_up() {
    assert_eq!(task("x", b"[1,2]").json::<Vec<u8>>().unwrap(), [1, 2]);
    for body in [b"".as_slice(), b"{", b"\"text\"", b"[1] 2"] {
        assert!(matches!(task("x", body).json::<Vec<u8>>(), Err(Failure::GiveUp(_))));
    }
}

#[test]
fn debug_output_does_not_show_the_body() {
    let text =
        format!("{:?} {:?}", task("x", b"hunter2"), Output::new(ContentType::OCTETS, b"hunter2".to_vec()));
    assert!(!text.contains("hunter2") && !text.contains("104, 117"), "{text}");
}
