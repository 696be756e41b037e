use proptest::prelude::*;

use super::*;

struct Records(usize);

impl Batch for Records {
    fn records(&self) -> usize {
        self.0
    }
}

fn queue(capacity: usize) -> (Entrance<Records>, Arrivals<Records>, Arc<SinkStats>) {
    let stats = Arc::new(SinkStats::default());
    let (entrance, exit) = bounded(capacity, Arc::clone(&stats));
    (entrance, exit, stats)
}

fn take(exit: &mut Arrivals<Records>) -> Claim<Records> {
    let mut claim = Claim::new(Arc::clone(&exit.stats));
    if let Some(queued) = exit.try_take() {
        claim.add(queued);
    }
    claim
}

/// Scenario: a batch larger than the capacity meets an idle and a busy lane.
/// Guarantees: it passes only while the lane is idle, and then nothing else fits.
#[test]
fn an_oversized_batch_needs_an_idle_lane() {
    let (entrance, mut exit, stats) = queue(4);
    entrance.offer(&Arc::new(Records(9)));
    entrance.offer(&Arc::new(Records(1)));
    assert_eq!(stats.snapshot().dropped_for(DropReason::QueueFull), 1);
    take(&mut exit).sent(9);
    entrance.offer(&Arc::new(Records(1)));
    entrance.offer(&Arc::new(Records(9)));
    assert_eq!(stats.snapshot().dropped_for(DropReason::QueueFull), 10);
    assert_eq!(stats.queued(), 1);
}

/// Scenario: somebody who waits for room asks before each offer, whatever the size of the batch.
/// Guarantees: what there is said to be room for is taken, and nothing else is; idle means that nothing is on its way.
#[test]
fn room_is_what_an_offer_finds() {
    let (entrance, mut exit, stats) = queue(4);
    for (held, batch) in (0..=4).flat_map(|held| [1, 4, 9].map(|batch| (held, batch))) {
        entrance.offer(&Arc::new(Records(held)));
        assert_eq!(entrance.is_idle(), held == 0);
        let before = stats.snapshot().dropped_for(DropReason::QueueFull);
        let has_room = entrance.has_room(batch);
        entrance.offer(&Arc::new(Records(batch)));
        let is_taken = stats.snapshot().dropped_for(DropReason::QueueFull) == before;
        assert_eq!((has_room, is_taken), (held + batch.min(4) <= 4, has_room), "{held} {batch}");
        while let Some(queued) = exit.try_take() {
            let mut claim = Claim::new(Arc::clone(&exit.stats));
            claim.add(queued);
            drop(claim);
        }
    }
}

/// Scenario: offers before and after the taking side is gone.
/// Guarantees: all of them are counted as dropped at shutdown.
#[test]
fn what_remains_is_counted_at_shutdown() {
    let (entrance, exit, stats) = queue(4);
    entrance.offer(&Arc::new(Records(2)));
    drop(exit);
    entrance.offer(&Arc::new(Records(3)));
    assert_eq!(stats.snapshot().dropped_for(DropReason::Shutdown), 5);
    assert_eq!(stats.queued(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Offer(usize),
    Take,
    Settle { sent: u64, dropped: u64 },
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_usize..7).prop_map(Step::Offer),
        Just(Step::Take),
        (0_u64..7, 0_u64..7).prop_map(|(sent, dropped)| Step::Settle { sent, dropped }),
        Just(Step::Abandon),
    ]
}

proptest! {
    /// Scenario: any sequence of offers, takes, outcomes and abandoned claims, then the end.
    /// Guarantees: accepted == sent + queued + dropped after each step, with `queued` counted by the test itself;
    /// never more places taken than there are; nothing queued at the end.
    #[test]
    fn every_record_is_accounted_for(
        capacity in 1_usize..12,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let (entrance, mut exit, stats) = queue(capacity);
        let mut claims: Vec<Claim<Records>> = Vec::new();
        let mut waiting = VecDeque::new();
        for step in steps {
            match step {
                Step::Offer(records) => {
                    let before = stats.snapshot().dropped_total();
                    entrance.offer(&Arc::new(Records(records)));
                    if records > 0 && stats.snapshot().dropped_total() == before {
                        waiting.push_back(records as u64);
                    }
                }
                Step::Take => {
                    let claim = take(&mut exit);
                    prop_assert_eq!(claim.open(), waiting.pop_front().unwrap_or(0));
                    claims.push(claim);
                }
                Step::Settle { sent, dropped } => if let Some(claim) = claims.last_mut() {
                    let sent = sent.min(claim.open());
                    claim.sent(sent);
                    let dropped = dropped.min(claim.open());
                    claim.dropped(DropReason::Rejected, dropped);
                }
                Step::Abandon => drop(claims.pop()),
            }
            let snapshot = stats.snapshot();
            let queued = waiting.iter().sum::<u64>() + claims.iter().map(Claim::open).sum::<u64>();
            prop_assert_eq!(snapshot.accepted, snapshot.sent + queued + snapshot.dropped_total());
            prop_assert_eq!(snapshot.queued(), queued);
            prop_assert!(entrance.occupied() <= capacity);
        }
        drop(claims);
        drop(exit);
        prop_assert_eq!(stats.queued(), 0);
        prop_assert_eq!(entrance.occupied(), 0);
    }
}
