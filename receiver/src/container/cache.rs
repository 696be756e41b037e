//! What is known, asked and not there: the state of each container that was asked for or told of. Time is an argument.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::details::Details;
use super::id::ContainerId;

/// Sizes and times of the cache.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    /// Containers that are held, known or not.
    pub capacity: usize,
    /// Time that a removed container is held: the ends of its connections are told late.
    pub grace: Duration,
    /// Time until a container is asked for again of which no runtime knows; doubles to `absent_max`.
    pub absent: Duration,
    /// See `absent`.
    pub absent_max: Duration,
    /// A question that has no answer after this time is given up.
    pub patience: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            capacity: 4096,
            grace: Duration::from_mins(1),
            absent: Duration::from_secs(1),
            absent_max: Duration::from_mins(1),
            patience: Duration::from_secs(15),
        }
    }
}

/// What is known of a container now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its details.
    Known(Arc<Details>),
    /// The runtimes have been asked; the answer comes with a later drain.
    Pending,
    /// No runtime has such a container.
    Absent,
    /// No runtime could be asked, or not all and the others have no such container.
    Unavailable,
}

/// Whose word counts more. A user's runtime could claim containers that are not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Runs as root, or the user of convis named it.
    System,
    /// A user's own.
    User,
}

/// The number of an endpoint, in the order in which they are found; less than [`MOST_ENDPOINTS`].
pub(super) type Source = usize;

/// One bit each in [`Question`].
pub(super) const MOST_ENDPOINTS: usize = 64;

/// What an endpoint says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Vote {
    Found(Arc<Details>),
    Absent,
    Failed,
}

#[derive(Debug)]
pub(super) struct Cache {
    entries: FxHashMap<ContainerId, Entry>,
    limits: CacheLimits,
    /// Endpoints by number.
    trust: Vec<Trust>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// When it was asked for last, or told of.
    used: Instant,
    /// Whether anybody asked for it.
    asked: bool,
}

#[derive(Debug)]
enum State {
    Open(Question),
    Known { details: Arc<Details>, source: Source, gone: Option<Instant> },
    Not(Negative),
}

/// A question to all endpoints.
#[derive(Debug)]
struct Question {
    /// Endpoints that have not answered, by bit.
    waiting: u64,
    /// Whether one could not answer.
    failed: bool,
    /// What a user's runtime says, until the others have answered.
    claimed: Option<(Source, Arc<Details>)>,
    since: Instant,
    /// What the last question brought.
    before: Option<Negative>,
}

#[derive(Debug, Clone, Copy)]
struct Negative {
    unavailable: bool,
    until: Instant,
    wait: Duration,
}

impl Negative {
    fn answer(self) -> Answer {
        if self.unavailable { Answer::Unavailable } else { Answer::Absent }
    }
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self { entries: FxHashMap::default(), limits, trust: Vec::new(), swept: None }
    }

    /// An endpoint more. Whatever was not known may be known there.
    pub(super) fn add_endpoint(&mut self, trust: Trust) {
        self.trust.push(trust);
        self.entries.retain(|_, entry| !matches!(entry.state, State::Not(_)));
    }

    /// The answer as far as it is known, and whether the endpoints must be asked now.
    pub(super) fn ask(&mut self, id: &ContainerId, now: Instant) -> (Answer, bool) {
        if !id.is_full() {
            return (Answer::Absent, false);
        }
        if self.trust.is_empty() {
            return (Answer::Unavailable, false);
        }
        let waiting = u64::MAX >> (MOST_ENDPOINTS - self.trust.len().min(MOST_ENDPOINTS));
        let open =
            |before| State::Open(Question { waiting, failed: false, claimed: None, since: now, before });
        let Some(entry) = self.entries.get_mut(id) else {
            self.insert(id.clone(), Entry { state: open(None), used: now, asked: true });
            return (Answer::Pending, true);
        };
        entry.used = now;
        entry.asked = true;
        if let State::Open(question) = &mut entry.state
            && now.duration_since(question.since) >= self.limits.patience
        {
            question.failed = true;
            entry.state = settled(question, self.limits, now);
        }
        match &entry.state {
            State::Known { details, .. } => (Answer::Known(Arc::clone(details)), false),
            State::Open(question) => (question.before.map_or(Answer::Pending, Negative::answer), false),
            State::Not(negative) if now < negative.until => (negative.answer(), false),
            State::Not(negative) => {
                let negative = *negative;
                entry.state = open(Some(negative));
                (negative.answer(), true)
            }
        }
    }

    /// Takes an endpoint's answer, or what it tells unasked. True if whoever asked should ask again, be it that they asked
    /// when nobody could be.
    pub(super) fn vote(&mut self, source: Source, id: &ContainerId, vote: Vote, now: Instant) -> bool {
        let Some(&trust) = self.trust.get(source) else {
            return false;
        };
        let system = self.mask(Trust::System);
        let Some(entry) = self.entries.get_mut(id) else {
            if let (Vote::Found(details), Trust::System) = (vote, trust) {
                let state = State::Known { details, source, gone: None };
                self.insert(id.clone(), Entry { state, used: now, asked: false });
                return true;
            }
            return false;
        };
        match &mut entry.state {
            State::Open(question) => {
                let bit = 1 << source;
                let expected = question.waiting & bit != 0;
                question.waiting &= !bit;
                match vote {
                    Vote::Found(details) if trust == Trust::System => {
                        entry.state = State::Known { details, source, gone: None };
                    }
                    Vote::Found(details) if expected => {
                        question.claimed.get_or_insert((source, details));
                    }
                    Vote::Found(_) | Vote::Absent => {}
                    Vote::Failed => question.failed = true,
                }
                if let State::Open(question) = &mut entry.state
                    && (question.waiting == 0 || question.claimed.is_some() && question.waiting & system == 0)
                {
                    entry.state = settled(question, self.limits, now);
                }
                !matches!(entry.state, State::Open(_)) && entry.asked
            }
            State::Known { details, source: known_by, gone } => {
                let Vote::Found(new) = vote else {
                    return false;
                };
                if *known_by != source && (trust == Trust::User || self.trust[*known_by] == Trust::System) {
                    return false;
                }
                *known_by = source;
                *gone = None;
                let changed = *details != new;
                *details = new;
                changed && entry.asked
            }
            State::Not(_) => match vote {
                Vote::Found(details) if trust == Trust::System => {
                    entry.state = State::Known { details, source, gone: None };
                    entry.asked
                }
                _ => false,
            },
        }
    }

    /// Takes everything that an endpoint has; the ids that whoever asked should ask for again.
    pub(super) fn snapshot(
        &mut self,
        source: Source,
        found: Vec<(ContainerId, Arc<Details>)>,
        now: Instant,
    ) -> Vec<ContainerId> {
        let mut listed: Vec<_> = found.iter().map(|(id, _)| id.clone()).collect();
        listed.sort_unstable();
        for (id, entry) in &mut self.entries {
            if let State::Known { source: known_by, gone, .. } = &mut entry.state
                && *known_by == source
                && listed.binary_search(id).is_err()
            {
                gone.get_or_insert(now);
            }
        }
        let mut changed = Vec::new();
        for (id, details) in found {
            // Part of a list is no answer: whoever asked this endpoint gets one as well.
            let trusted = self.trust.get(source) == Some(&Trust::System);
            let known = matches!(self.entries.get(&id).map(|entry| &entry.state), Some(State::Known { .. }));
            if (trusted || known) && self.vote(source, &id, Vote::Found(details), now) {
                changed.push(id);
            }
        }
        changed
    }

    /// A container was removed.
    pub(super) fn removed(&mut self, source: Source, id: &ContainerId, now: Instant) {
        if let Some(Entry { state: State::Known { source: known_by, gone, .. }, .. }) =
            self.entries.get_mut(id)
            && *known_by == source
        {
            gone.get_or_insert(now);
        }
    }

    /// Forgets removed containers whose grace is over, once in a while.
    pub(super) fn sweep(&mut self, now: Instant) {
        let grace = self.limits.grace;
        if self.swept.is_some_and(|swept| now.duration_since(swept) < grace / 8) {
            return;
        }
        self.swept = Some(now);
        self.entries.retain(|_, entry| match entry.state {
            State::Known { gone: Some(gone), .. } => now.duration_since(gone) < grace,
            _ => true,
        });
    }

    /// Containers whose details are held.
    pub(super) fn known(&self) -> usize {
        self.entries.values().filter(|entry| matches!(entry.state, State::Known { .. })).count()
    }

    fn mask(&self, trust: Trust) -> u64 {
        let of = |(source, _): (usize, &Trust)| 1_u64 << source;
        self.trust.iter().enumerate().filter(|(_, its)| **its == trust).map(of).sum()
    }

    /// Makes room where there is none: the eighth of all entries that was not used for longest goes, removed ones first.
    fn insert(&mut self, id: ContainerId, entry: Entry) {
        if self.entries.len() >= self.limits.capacity.max(1) {
            let rank = |entry: &Entry| {
                let removed = matches!(entry.state, State::Known { gone: Some(_), .. });
                (!removed, entry.used)
            };
            let mut ranks: Vec<_> = self.entries.values().map(rank).collect();
            let nth = ranks.len() / 8;
            let (_, limit, _) = ranks.select_nth_unstable(nth);
            let limit = *limit;
            let mut left = nth + 1;
            self.entries.retain(|_, entry| {
                let goes = left > 0 && rank(entry) <= limit;
                left -= usize::from(goes);
                !goes
            });
        }
        self.entries.insert(id, entry);
    }
}

/// What a question comes to that nobody answers any more.
fn settled(question: &mut Question, limits: CacheLimits, now: Instant) -> State {
    if let Some((source, details)) = question.claimed.take() {
        return State::Known { details, source, gone: None };
    }
    let wait = match question.before {
        Some(before) => before.wait.saturating_mul(2).min(limits.absent_max),
        None => limits.absent,
    };
    State::Not(Negative { unavailable: question.failed, until: now + wait, wait })
}

#[cfg(test)]
mod tests;
