use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn id(number: u32) -> ContainerId {
    ContainerId::new(&format!("{number:064x}")).unwrap()
}

fn named(name: &str) -> Arc<Details> {
    Arc::new(Details { name: Some(name.to_owned()), ..Details::default() })
}

fn cache(trust: &[Trust]) -> (Cache, Instant) {
    let mut cache = Cache::new(CacheLimits { capacity: 16, ..CacheLimits::default() });
    for trust in trust {
        cache.add_endpoint(*trust);
    }
    (cache, Instant::now())
}

fn found(name: &str) -> Vote {
    Vote::Found(named(name))
}

/// Scenario: a container is asked for, twice before and once after the runtime answers.
/// Guarantees: one question; pending until the answer, known after it.
#[test]
fn asks_once() {
    let (mut cache, now) = cache(&[Trust::System]);
    assert_eq!(cache.ask(&id(1), now), (Answer::Pending, true));
    assert_eq!(cache.ask(&id(1), now), (Answer::Pending, false));
    assert!(cache.vote(0, &id(1), found("a"), now));
    assert_eq!(cache.ask(&id(1), now), (Answer::Known(named("a")), false));
    assert!(!cache.vote(0, &id(1), found("a"), now), "nothing changed");
    assert!(cache.vote(0, &id(1), found("b"), now), "renamed");
    assert_eq!(cache.known(), 1);
}

/// Scenario: no runtime, and ids that no runtime gives.
/// Guarantees: an answer at once, and nothing is kept.
#[test]
fn asks_nobody_in_vain() {
    let (mut none, now) = cache(&[]);
    assert_eq!(none.ask(&id(1), now), (Answer::Unavailable, false));
    let (mut one, now) = cache(&[Trust::System]);
    assert_eq!(one.ask(&ContainerId::new("lxc-box").unwrap(), now), (Answer::Absent, false));
    assert!(none.entries.is_empty() && one.entries.is_empty());
}

/// Scenario: two runtimes; no one has it, or one cannot say.
/// Guarantees: absent only if all say so; asked again after a time that doubles to its limit, the old answer standing
/// meanwhile.
#[test]
fn negative_answers_are_brief() {
    let (mut cache, mut now) = cache(&[Trust::System, Trust::System]);
    assert!(cache.ask(&id(1), now).1);
    assert!(!cache.vote(0, &id(1), Vote::Absent, now));
    assert!(cache.vote(1, &id(1), Vote::Failed, now));
    assert_eq!(cache.ask(&id(1), now), (Answer::Unavailable, false));
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        now += (wait - 1) * SECOND;
        assert!(!cache.ask(&id(1), now).1, "{wait}");
        now += SECOND;
        assert!(cache.ask(&id(1), now).1, "{wait}");
        assert_ne!(cache.ask(&id(1), now).0, Answer::Pending);
        cache.vote(0, &id(1), Vote::Absent, now);
        cache.vote(1, &id(1), Vote::Absent, now);
        assert_eq!(cache.ask(&id(1), now), (Answer::Absent, false));
    }
    assert!(cache.vote(0, &id(1), found("late"), now), "an event tells of it");
    assert_eq!(cache.ask(&id(1), now).0, Answer::Known(named("late")));
}

/// Scenario: a runtime never answers.
/// Guarantees: the question is given up in time, and what comes later is taken.
#[test]
fn a_silent_runtime_is_given_up() {
    let (mut cache, now) = cache(&[Trust::System]);
    let patience = cache.limits.patience;
    assert!(cache.ask(&id(1), now).1);
    assert_eq!(cache.ask(&id(1), now + patience - SECOND).0, Answer::Pending);
    assert_eq!(cache.ask(&id(1), now + patience), (Answer::Unavailable, false));
    assert!(cache.vote(0, &id(1), found("a"), now + patience));
}

/// Scenario: a user's runtime claims a container, before and after the system's knows it, and without being asked.
/// Guarantees: its word counts only where no other has one, and never replaces one.
#[test]
fn a_users_runtime_claims_nothing() {
    let (mut cache, now) = cache(&[Trust::User, Trust::System]);
    assert!(cache.ask(&id(1), now).1);
    assert!(!cache.vote(0, &id(1), found("lie"), now));
    assert_eq!(cache.ask(&id(1), now).0, Answer::Pending);
    assert!(cache.vote(1, &id(1), found("true"), now));
    assert!(!cache.vote(0, &id(1), found("lie"), now));
    assert_eq!(cache.ask(&id(1), now).0, Answer::Known(named("true")));

    assert!(cache.ask(&id(2), now).1);
    cache.vote(0, &id(2), found("own"), now);
    assert!(cache.vote(1, &id(2), Vote::Absent, now));
    assert_eq!(cache.ask(&id(2), now).0, Answer::Known(named("own")));
    assert!(cache.vote(1, &id(2), found("true"), now), "the system's word counts more");

    assert!(!cache.vote(0, &id(3), found("unasked"), now));
    assert!(cache.snapshot(0, vec![(id(3), named("unasked"))], now).is_empty());
    assert!(cache.ask(&id(3), now).1);
}

/// Scenario: a runtime lists what it has, at first and after a restart; somebody asked for some of it.
/// Guarantees: all is known without a question; what is new is told, as somebody may have asked when nobody could be, then
/// what changed of what was asked for; what is missing goes after its grace.
#[test]
fn lists_replace_what_was() {
    let (mut cache, now) = cache(&[Trust::System, Trust::System]);
    assert!(cache.ask(&id(1), now).1);
    let list = (1..=3).map(|number| (id(number), named("a"))).collect();
    assert_eq!(cache.snapshot(0, list, now), [id(1), id(2), id(3)]);
    assert_eq!(cache.ask(&id(2), now).0, Answer::Known(named("a")));
    let list = vec![(id(1), named("a")), (id(2), named("b"))];
    assert_eq!(cache.snapshot(0, list, now), [id(2)]);
    assert!(cache.snapshot(1, vec![], now).is_empty(), "another runtime's list says nothing of these");
    let grace = cache.limits.grace;
    cache.sweep(now + grace / 2);
    assert_eq!(cache.ask(&id(3), now).0, Answer::Known(named("a")), "within its grace");
    cache.sweep(now + grace);
    assert_eq!(cache.known(), 2);
    assert!(cache.ask(&id(3), now + grace).1);
}

/// Scenario: a container is removed, and one is removed and told of again.
/// Guarantees: the first is known for its grace and no longer, the second stays.
#[test]
fn removed_containers_have_a_grace() {
    let (mut cache, now) = cache(&[Trust::System, Trust::System]);
    for number in [1, 2] {
        cache.vote(0, &id(number), found("a"), now);
        cache.removed(1, &id(number), now);
        cache.removed(0, &id(number), now);
    }
    cache.vote(0, &id(2), found("a"), now);
    cache.sweep(now + cache.limits.grace / 2);
    assert_eq!(cache.known(), 2);
    cache.sweep(now + cache.limits.grace);
    assert_eq!(cache.known(), 1);
    assert_eq!(cache.ask(&id(2), now).0, Answer::Known(named("a")));
}

/// Scenario: more containers than there is room for, among them removed ones and one that is asked for all the time.
/// Guarantees: never more than the capacity; removed ones go first, then those unused for longest.
#[test]
fn room_is_bounded() {
    let (mut cache, now) = cache(&[Trust::System]);
    let at = |number: u32| now + number * Duration::from_millis(1);
    for number in 0..16 {
        cache.vote(0, &id(number), found("a"), at(number));
    }
    cache.removed(0, &id(9), at(16));
    cache.removed(0, &id(10), at(16));
    cache.ask(&id(0), at(17));
    cache.vote(0, &id(100), found("a"), at(18));
    for (number, kept) in [(0, true), (1, false), (2, true), (9, false), (10, false), (11, true), (100, true)]
    {
        assert_eq!(cache.entries.contains_key(&id(number)), kept, "{number}");
    }
    for number in 200..1000 {
        cache.ask(&id(number), at(number));
        cache.ask(&id(0), at(number));
        assert!(cache.entries.len() <= 16);
    }
    assert!(cache.entries.contains_key(&id(0)));
}

/// Scenario: a runtime is found after a container was asked for in vain.
/// Guarantees: the next question goes to it at once.
#[test]
fn a_new_runtime_is_asked_at_once() {
    let (mut cache, now) = cache(&[Trust::System]);
    cache.ask(&id(1), now);
    cache.vote(0, &id(1), Vote::Absent, now);
    cache.add_endpoint(Trust::System);
    assert_eq!(cache.ask(&id(1), now), (Answer::Pending, true));
    cache.vote(1, &id(1), Vote::Absent, now);
    assert_eq!(cache.ask(&id(1), now).0, Answer::Pending, "the first has not answered");
}
