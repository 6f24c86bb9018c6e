//! What goes into a token and what comes out of it.

use taskseal_tests::process_memory::Needle;

use super::token::Plant;
use super::{bodies, deployment};

/// One test with a token of SoftHSM, in separate processes.
macro_rules! with_a_token {
    ($($name:ident,)+) => {
        mod softhsm {
            use taskseal_tests::test_path;
            use taskseal_tests::token::{Kind, on};

            $(#[test]
            #[cfg_attr(debug_assertions, ignore = "needs a release build: tests/run secrets")]
            fn $name() {
                on(Kind::SoftHsm, test_path!($name), |fixture| match fixture.role() {
                    Some(role) => crate::token::play(fixture, &role),
                    None => super::$name(&crate::token::Plant(fixture)),
                });
            })+
        }
    };
}

with_a_token! {
    pin_leaves_nothing_after_the_login,
    pin_that_was_handed_over_is_kept_until_the_token_is_closed,
    wrapped_key_files_leave_nothing,
    secret_agreed_on_by_a_key_in_a_token_leaves_nothing,
    tasks_and_results_leave_nothing_with_wrapped_keys,
    tasks_and_results_leave_nothing_with_keys_in_a_token,
}

/// The PIN of a token that is made for the test.
fn pin(plant: &Plant<'_>) -> Vec<Needle> {
    Needle::pieces("pin", plant.make().as_bytes(), 16)
}

fn pin_leaves_nothing_after_the_login(plant: &Plant<'_>) {
    let pin = pin(plant);
    let mut waiting = plant.start("login");
    assert_eq!(waiting.find(&pin), [""; 0], "logged in");
    waiting.go_on();
    assert_eq!(waiting.find(&pin), [""; 0], "closed");
    waiting.end();
}

fn pin_that_was_handed_over_is_kept_until_the_token_is_closed(plant: &Plant<'_>) {
    let pin = pin(plant);
    let mut waiting = plant.start("login with a given pin");
    // The control: it has to be kept, for the next login.
    assert_eq!(waiting.find(&pin), ["pin"], "logged in");
    waiting.go_on();
    assert_eq!(waiting.find(&pin), [""; 0], "closed");
    waiting.end();
}

fn wrapped_key_files_leave_nothing(plant: &Plant<'_>) {
    plant.make();
    let mut making = plant.start("make wrapped files");
    let secrets = plant.in_wrapped_files();
    assert_eq!(making.find(&secrets), [""; 0], "made");
    making.go_on();
    assert_eq!(making.find(&secrets), [""; 0], "made, and the token is closed");
    making.end();

    let mut reading = plant.start("read wrapped files");
    let mut names: Vec<_> = deployment::KEYS.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    // The control: keys that are in use, but neither what wrapped them nor their text.
    assert_eq!(reading.find(&secrets), names);
    reading.go_on();
    assert_eq!(reading.find(&secrets), [""; 0], "dropped");
    reading.go_on();
    assert_eq!(reading.find(&secrets), [""; 0], "dropped, and the token is closed");
    reading.end();
}

fn tasks_and_results_leave_nothing_with_wrapped_keys(plant: &Plant<'_>) {
    let mut secrets = pin(plant);
    let mut making = plant.start("make wrapped files");
    making.go_on();
    making.end();
    secrets.extend([plant.in_wrapped_files(), bodies()].concat());
    worked(plant, &secrets);
}

fn tasks_and_results_leave_nothing_with_keys_in_a_token(plant: &Plant<'_>) {
    let mut secrets = pin(plant);
    plant.deploy();
    secrets.extend(bodies());
    worked(plant, &secrets);
}

fn worked(plant: &Plant<'_>, secrets: &[Needle]) {
    let mut waiting = plant.start("work");
    assert_eq!(waiting.find(secrets), [""; 0], "done");
    waiting.go_on();
    assert_eq!(waiting.find(secrets), [""; 0], "done, and the token is closed");
    waiting.end();
}

fn secret_agreed_on_by_a_key_in_a_token_leaves_nothing(plant: &Plant<'_>) {
    plant.make();
    let secret = plant.agreed();
    let mut waiting = plant.start("agree");
    // The control: it is remembered for the verdict on the token.
    assert_eq!(waiting.find(&secret), ["agreed secret"]);
    waiting.go_on();
    assert_eq!(waiting.find(&secret), [""; 0], "dropped");
    waiting.go_on();
    assert_eq!(waiting.find(&secret), [""; 0], "dropped, and the token is closed");
    waiting.end();
}
