use super::*;

fn scheduler(weights: &[u32]) -> QueueScheduler {
    let queue = |(number, weight): (usize, &u32)| WorkerQueue {
        name: QueueName::parse(&format!("q{number}")).unwrap(),
        weight: *weight,
        concurrency: None,
    };
    QueueScheduler::new(&weights.iter().enumerate().map(queue).collect::<Vec<_>>())
}

fn first(scheduler: &mut QueueScheduler) -> usize {
    scheduler.round()[0].0
}

#[test]
fn every_queue_is_asked_in_every_round() {
    let mut scheduler = scheduler(&[3, 1, 2]);
    for _ in 0..20 {
        let mut asked: Vec<usize> = scheduler.round().into_iter().map(|(number, _)| number).collect();
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2]);
    }
}

#[test]
fn each_queue_is_first_as_often_as_its_weight() {
    let mut scheduler = scheduler(&[3, 1, 2]);
    let firsts: Vec<usize> = (0..12).map(|_| first(&mut scheduler)).collect();
    assert_eq!(firsts, [0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 2, 2]);
}

#[test]
fn weight_of_zero_counts_as_one() {
    let mut scheduler = scheduler(&[0, 1]);
    assert_eq!([first(&mut scheduler), first(&mut scheduler)], [0, 1]);
}

#[test]
fn maximum_weights_need_no_memory_and_do_not_overflow() {
    let mut scheduler = scheduler(&[u32::MAX; 64]);
    assert_eq!(first(&mut scheduler), 0);
    assert_eq!(first(&mut scheduler), 0);
}

#[tokio::test(start_paused = true)]
async fn failed_queue_is_left_out_until_its_next_attempt_and_does_not_block_others() {
    let mut scheduler = scheduler(&[1, 1]);
    scheduler.failed(0);
    assert_eq!(scheduler.unresponsive(Duration::from_secs(1)), None);
    assert_eq!(first(&mut scheduler), 1);
    assert_eq!(scheduler.round().len(), 1);
    let wait = scheduler.next_attempt().unwrap();
    tokio::time::advance(wait + Duration::from_millis(1)).await;
    assert_eq!(scheduler.round().len(), 2);
    scheduler.responded(0);
    assert_eq!(scheduler.unresponsive(Duration::ZERO), Some(Vec::new()));
    assert!(scheduler.next_attempt().is_none());
}

#[tokio::test(start_paused = true)]
async fn queue_is_lost_once_it_has_failed_for_the_whole_timeout() {
    let mut scheduler = scheduler(&[1, 1]);
    scheduler.failed(0);
    tokio::time::advance(Duration::from_secs(20)).await;
    scheduler.failed(0);
    scheduler.failed(1);
    assert_eq!(scheduler.unresponsive(Duration::from_secs(30)), None);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(
        scheduler.unresponsive(Duration::from_secs(30)),
        None,
        "the other queue has not failed for long enough"
    );
    scheduler.responded(1);
    assert_eq!(scheduler.unresponsive(Duration::from_secs(30)).map(|lost| lost.len()), Some(1));
}
