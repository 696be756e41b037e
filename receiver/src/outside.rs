//! What the host is asked beside the kernel's records: `/proc`, cgroups, users, container runtimes, address translation.
//!
//! The host answers; while a [recording](crate::recording) is made, its answers are written down; a replay has those and
//! asks nobody.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::container::{Answer, ContainerId, Details};
use crate::identity::Seen;
use crate::identity::cgroup::Place;
use crate::nat::Translated;
use crate::recording::{Item, Tape};

/// A question to the host. The comment is its answer; nothing, where nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question<'a> {
    /// `Option<Vec<Seen>>`: the processes there are.
    Processes,
    /// `Option<Seen>`: the process with this id.
    Process(u32),
    /// `Option<u64>`: when it started, in ticks since boot.
    StartTicks(u32),
    /// `Option<Place>`: where it runs.
    Place(u32),
    /// `Option<String>`: path of the cgroup with this id.
    Cgroup(u64),
    /// `bool`: whether there are hierarchies of version 1.
    HasV1,
    /// `Option<String>`: name of the user.
    User(u32),
    /// `bool`: whether container runtimes are looked for.
    MayFind,
    /// [`Told`]: the container.
    Container(&'a str),
    /// `Vec<ContainerId>`: containers of which something else is known now.
    News,
    /// `Option<Translated>`: what becomes of a client's connection: its network namespace, itself and its server.
    Translation(u32, SocketAddr, SocketAddr),
}

impl Question<'_> {
    /// Whether `answer` is one to it.
    pub fn is_answered_by(&self, answer: &[u8]) -> bool {
        fn is<T: DeserializeOwned>(answer: &[u8]) -> bool {
            postcard::take_from_bytes::<T>(answer).is_ok_and(|(_, rest)| rest.is_empty())
        }
        match self {
            Self::Processes => is::<Option<Vec<Seen>>>(answer),
            Self::Process(_) => is::<Option<Seen>>(answer),
            Self::StartTicks(_) => is::<Option<u64>>(answer),
            Self::Place(_) => is::<Option<Place>>(answer),
            Self::Cgroup(_) | Self::User(_) => is::<Option<String>>(answer),
            Self::HasV1 | Self::MayFind => is::<bool>(answer),
            Self::Container(_) => is::<Told>(answer),
            Self::News => is::<Vec<ContainerId>>(answer),
            Self::Translation(..) => is::<Option<Translated>>(answer),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, Vec::new()).unwrap_or_default()
    }

    /// Hands the same to `to`; where they are few, without memory of their own.
    fn with_bytes<T>(&self, to: impl FnOnce(&[u8]) -> T) -> T {
        match postcard::to_slice(self, &mut [0; 128]) {
            Ok(bytes) => to(bytes),
            Err(_) => to(&self.bytes()),
        }
    }
}

/// What is known of a container; see [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Told {
    /// Its details.
    Known(Box<Details>),
    /// The answer comes later.
    Pending,
    /// There is no such container.
    #[default]
    Absent,
    /// Nobody could be asked.
    Unavailable,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Known(details) => Self::Known(Box::new(Details::clone(&details))),
            Answer::Pending => Self::Pending,
            Answer::Absent => Self::Absent,
            Answer::Unavailable => Self::Unavailable,
        }
    }
}

impl From<Told> for Answer {
    fn from(told: Told) -> Self {
        match told {
            Told::Known(details) => Self::Known(Arc::new(*details)),
            Told::Pending => Self::Pending,
            Told::Absent => Self::Absent,
            Told::Unavailable => Self::Unavailable,
        }
    }
}

/// Who answers.
#[derive(Debug, Clone, Default)]
pub enum Outside {
    /// The host.
    #[default]
    Host,
    /// The host, and it is written down.
    Recorded(Rc<RefCell<Tape>>),
    /// A recording.
    Replayed(Rc<RefCell<Answers>>),
}

impl Outside {
    /// The answer; `ask` asks the host.
    pub fn ask<T: Serialize + DeserializeOwned + Default>(
        &self,
        question: Question<'_>,
        ask: impl FnOnce() -> T,
    ) -> T {
        match self {
            Self::Host => ask(),
            Self::Recorded(tape) => {
                let answer = ask();
                let bytes = postcard::to_extend(&answer, Vec::new()).unwrap_or_default();
                // No news needs no word.
                if question == Question::News && bytes == [0] {
                    return answer;
                }
                tape.borrow_mut().put(&Item::Answer { question: &question.bytes(), answer: &bytes });
                answer
            }
            Self::Replayed(answers) => {
                let next = |question: &[u8]| answers.borrow_mut().next(question);
                question.with_bytes(next).unwrap_or_default()
            }
        }
    }

    /// Whether the host answers, written down or not.
    pub const fn is_host(&self) -> bool {
        !matches!(self, Self::Replayed(_))
    }
}

/// The answers of one step of a recording.
#[derive(Debug, Default)]
pub struct Answers {
    by_question: FxHashMap<Box<[u8]>, VecDeque<Box<[u8]>>>,
    /// The last names of users: who asks in a later step than was recorded, for having waited longer, finds them here.
    users: FxHashMap<Box<[u8]>, Box<[u8]>>,
}

impl Answers {
    /// Begins another step.
    pub(crate) fn clear(&mut self) {
        self.by_question.clear();
    }

    /// Adds an answer to a question, behind those that it has.
    pub(crate) fn add(&mut self, question: &[u8], answer: &[u8]) {
        if matches!(postcard::from_bytes(question), Ok(Question::User(_))) {
            self.users.insert(question.into(), answer.into());
        }
        self.by_question.entry(question.into()).or_default().push_back(answer.into());
    }

    /// The next answer. The last one stays for the step, but for news, which are told once.
    fn next<T: DeserializeOwned>(&mut self, question: &[u8]) -> Option<T> {
        let Some(answers) = self.by_question.get_mut(question) else {
            return postcard::from_bytes(self.users.get(question)?).ok();
        };
        let is_news = matches!(postcard::from_bytes(question), Ok(Question::News));
        if answers.len() > 1 || is_news {
            return postcard::from_bytes(&answers.pop_front()?).ok();
        }
        postcard::from_bytes(answers.front()?).ok()
    }
}
