use super::*;

fn lines(weights: &[u32]) -> Lines {
    let queue = |(number, weight): (usize, &u32)| WorkerQueue {
        name: QueueName::parse(&format!("q{number}")).unwrap(),
        weight: *weight,
    };
    Lines::new(&weights.iter().enumerate().map(queue).collect::<Vec<_>>())
}

fn first(lines: &mut Lines) -> usize {
    lines.in_turn()[0].0
}

#[test]
fn every_queue_is_asked_in_every_turn() {
    let mut lines = lines(&[3, 1, 2]);
    for _ in 0..20 {
        let mut asked: Vec<usize> = lines.in_turn().into_iter().map(|(number, _)| number).collect();
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2]);
    }
}

#[test]
fn queues_come_first_as_often_as_their_weight() {
    let mut lines = lines(&[3, 1, 2]);
    let firsts: Vec<usize> = (0..12).map(|_| first(&mut lines)).collect();
    assert_eq!(firsts, [0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 2, 2]);
}

#[test]
fn weight_of_zero_counts_as_one() {
    let mut lines = lines(&[0, 1]);
    assert_eq!([first(&mut lines), first(&mut lines)], [0, 1]);
}

#[test]
fn greatest_weights_take_no_room_and_no_time() {
    let mut lines = lines(&[u32::MAX; 64]);
    assert_eq!(first(&mut lines), 0);
    assert_eq!(first(&mut lines), 0);
}

#[tokio::test(start_paused = true)]
async fn queue_that_failed_is_left_out_until_its_time_and_holds_up_nobody() {
    let mut lines = lines(&[1, 1]);
    lines.failed(0);
    assert_eq!(lines.lost(Duration::from_secs(1)), None);
    assert_eq!(first(&mut lines), 1);
    assert_eq!(lines.in_turn().len(), 1);
    let wait = lines.next_try().unwrap();
    tokio::time::advance(wait + Duration::from_millis(1)).await;
    assert_eq!(lines.in_turn().len(), 2);
    lines.answered(0);
    assert_eq!(lines.lost(Duration::ZERO), Some(Vec::new()));
    assert!(lines.next_try().is_none());
}

#[tokio::test(start_paused = true)]
async fn queue_is_lost_once_it_has_failed_for_as_long_as_patience_lasts() {
    let mut lines = lines(&[1, 1]);
    lines.failed(0);
    tokio::time::advance(Duration::from_secs(20)).await;
    lines.failed(0);
    lines.failed(1);
    assert_eq!(lines.lost(Duration::from_secs(30)), None);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(lines.lost(Duration::from_secs(30)), None, "there is hope for the other one");
    lines.answered(1);
    assert_eq!(lines.lost(Duration::from_secs(30)).map(|lost| lost.len()), Some(1));
}
