//! Random mixes of everything that takes no time, on eight threads at once.

use std::net::SocketAddr;
use std::process::Command;

use super::actor::{Actor, Hand, Identity, Place, first_done, start};
use super::dice::Dice;
use super::end::{End, Listener, Stopped, Way, attempt, close_in_order, failed, new_socket};
use super::hands::{DASH, DASH_BYTES, INHERITED};
use super::stage::{Lacking, Played, Stage};
use super::suite::Scenario;
use crate::truth::Side;

const THREADS: usize = 8;
const CHILDREN: usize = 3;
const ECONNREFUSED: i32 = 111;
const ECONNRESET: i32 = 104;

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[Scenario::during("mix", mix)];

fn mix(stage: &mut Stage) -> Played {
    let share = stage.connections.div_ceil(THREADS);
    let cast = Cast {
        both: stage.actor(Place::Here)?,
        client: stage.actor(Place::Here)?,
        server: stage.actor(Place::Here)?,
    };
    let mut players = Vec::new();
    for number in 0..THREADS {
        let seed = stage.seed.wrapping_mul(1000).wrapping_add(number as u64);
        let own = Stage::new(&stage.scenario, stage.plan, seed, share);
        players.push(Player::new(own, &cast)?);
    }
    let played: Vec<Stage> = std::thread::scope(|scope| {
        let threads: Vec<_> = players.into_iter().map(|player| scope.spawn(|| player.play())).collect();
        threads.into_iter().map(|thread| thread.join().expect("a player plays to its end")).collect()
    });
    for own in played {
        stage.take_over(own);
    }
    Ok(())
}

/// The processes that all threads share.
struct Cast {
    both: Actor,
    client: Actor,
    server: Actor,
}

/// One thread's hands and listeners.
struct Player {
    stage: Stage,
    dice: Dice,
    /// Client, and a listener in the same process and in another one.
    together: (Hand, Listener),
    apart: (Hand, Listener),
    /// In a process that never accepts itself here.
    heir: Hand,
    group: Group,
    refusing: SocketAddr,
}

/// A server that forked its workers before anybody came.
struct Group {
    parent: Actor,
    workers: Vec<Worker>,
}

struct Worker {
    _process: Actor,
    listener: Listener,
    waits_for: Option<u32>,
}

impl Player {
    fn new(mut stage: Stage, cast: &Cast) -> Result<Self, Lacking> {
        let seed = stage.seed;
        let together = (cast.both.new_hand(), stage.listener(&cast.both.new_hand(), "::"));
        let apart = (cast.client.new_hand(), stage.listener(&cast.server.new_hand(), "::"));
        let (_, refusing) = stage.closed_port(&apart.0, "127.0.0.1");
        for actor in [&cast.both, &cast.client, &cast.server] {
            stage.claims.pids.insert(actor.who().pid, stage.scenario.clone());
        }
        let group = Group::new(&mut stage)?;
        let heir = cast.both.new_hand();
        Ok(Self { stage, dice: Dice(seed), together, apart, heir, group, refusing })
    }

    fn play(mut self) -> Stage {
        for _ in 0..self.stage.connections {
            match self.dice.below(20) {
                0 => self.dash(),
                1 => self.refused(),
                2 => self.passed(),
                3..6 => {
                    let way = self.way();
                    let client = End::connect(&self.apart.0, self.group.reach(way));
                    let server = self.group.accept();
                    self.connection(client, server);
                }
                kind => {
                    let way = self.way();
                    let (hand, listener) = if kind < 12 { &self.together } else { &self.apart };
                    let (client, server) = listener.pair(hand, way);
                    self.connection(client, server);
                }
            }
        }
        self.stage
    }

    fn way(&mut self) -> Way {
        [Way::AsIs, Way::Ipv4, Way::Mapped][self.dice.choice(3)]
    }

    /// A process of its own that connects, writes and is gone.
    fn dash(&mut self) {
        let to = self.apart.1.reach(Way::Ipv4);
        let mut dash = Command::new("/proc/self/exe");
        let mut child = start(dash.args([DASH, &to.to_string()])).expect("a dash starts");
        let mut server = self.apart.1.accept();
        let pid = child.id();
        let status = child.wait().expect("a dash ends");
        assert!(status.success(), "a dash: {status}");
        assert_eq!(server.read_all(), Stopped::AtEnd);
        server.close();
        let owner = Identity { pid, own_pid: pid, ..self.apart.0.who() };
        let client = End {
            hand: self.apart.0.clone(),
            socket: 0,
            owner,
            listener: None,
            side: Side::Client,
            local: server.peer,
            peer: server.local,
            written: DASH_BYTES,
            read: 0,
            took: None,
        };
        self.stage.expect_both([client.ended("local_close"), server.ended("peer_close")]);
    }

    /// Nobody listens; told once, whether the socket was bound or not.
    fn refused(&mut self) {
        let hand = &self.apart.0;
        let socket = new_socket(hand, self.refusing);
        let bound = self.dice.below(2) == 0;
        if bound {
            hand.act(format!("bind {socket} 127.0.0.1:0"));
        }
        let local = hand.act(format!("name {socket}"))[0].parse().expect("an address");
        let (code, _, _) = attempt(hand, "connect", socket, &self.refusing.to_string());
        assert_eq!(code, ECONNREFUSED);
        hand.act(format!("close {socket}"));
        self.stage.expect(failed(hand, bound.then_some(local), self.refusing, "refused"));
    }

    /// Accepted by one process, passed to another, which closes it first or last.
    fn passed(&mut self) {
        let way = self.way();
        let (mut client, mut server) = self.apart.1.pair(&self.apart.0, way);
        let heir = self.heir.clone();
        let number = server.hand.pass(server.socket, &heir);
        server.close();
        (server.hand, server.socket) = (heir, number);
        let (up, down) = (self.dice.size(), self.dice.size());
        client.write_to(&mut server, up);
        server.write_to(&mut client, down);
        let mut ends = if self.dice.below(2) == 0 {
            close_in_order(&mut client, &mut server)
        } else {
            close_in_order(&mut server, &mut client)
        };
        for end in &mut ends {
            end.closed().closing_pid = (end.side == Side::Server).then_some(server.hand.who().pid);
        }
        self.stage.expect_both(ends);
    }

    /// Random bytes both ways, then a random end.
    fn connection(&mut self, mut client: End, mut server: End) {
        for _ in 0..self.dice.below(3) {
            let (up, down) = (self.dice.size(), self.dice.size());
            let how = ["write", "writev", "sendfile", "splice"][self.dice.choice(4)];
            client.write_by(&mut server, up, how);
            server.write_by(&mut client, down, how);
        }
        let (first, second) = if self.dice.below(2) == 0 { (client, server) } else { (server, client) };
        self.end(first, second);
    }

    fn end(&mut self, mut first: End, mut second: End) {
        let ends = match self.dice.below(8) {
            0 => {
                first.shutdown();
                assert_eq!(second.read_all(), Stopped::AtEnd);
                let late = self.dice.size();
                second.write_to(&mut first, late);
                second.close();
                assert_eq!(first.read_all(), Stopped::AtEnd);
                first.close();
                [first.ended("local_close"), second.ended("peer_close")]
            }
            1 => {
                first.reset();
                assert_eq!(second.read_all(), Stopped::Error(ECONNRESET));
                second.close();
                [first.torn("local_reset"), second.torn("peer_reset")]
            }
            2 => {
                let unread = 1 + self.dice.below(5000);
                second.write(unread);
                first.wait_for_pending(unread);
                first.close();
                assert_eq!(second.read_all(), Stopped::Error(ECONNRESET));
                second.close();
                let mut resetting = first.torn("local_reset");
                resetting.closed().received = Some(second.written);
                [resetting, second.torn("peer_reset")]
            }
            3 => {
                // Everything is still on its way, or in a buffer, when it closes.
                let last = self.dice.size().min(20_000);
                first.write(last);
                first.close();
                assert_eq!(second.read_all(), Stopped::AtEnd);
                second.close();
                [first.ended("local_close"), second.ended("peer_close")]
            }
            _ => close_in_order(&mut first, &mut second),
        };
        self.stage.expect_both(ends);
    }
}

impl Group {
    fn new(stage: &mut Stage) -> Result<Self, Lacking> {
        let parent = stage.actor(Place::Here)?;
        let listener = stage.listener(&parent.hand(), "::");
        let workers = (0..CHILDREN).map(|_| {
            let process = stage.child(&parent, listener.socket);
            let listener = listener.seen_by(&process.hand(), INHERITED);
            Worker { _process: process, listener, waits_for: None }
        });
        let workers = workers.collect();
        Ok(Self { parent, workers })
    }

    fn reach(&self, way: Way) -> SocketAddr {
        self.workers[0].listener.reach(way)
    }

    /// Whichever worker takes it.
    fn accept(&mut self) -> End {
        for worker in &mut self.workers {
            worker.waits_for.get_or_insert_with(|| worker.listener.begin_accept());
        }
        let hands = self.workers.iter().map(|worker| (worker.listener.hand.who().pid, &worker.listener.hand));
        let pid = first_done(&hands.collect()).who().pid;
        let worker = self.workers.iter_mut().find(|worker| worker.listener.hand.who().pid == pid);
        let worker = worker.expect("one of the workers");
        let number = worker.waits_for.take().expect("it was waiting");
        End { listener: Some(self.parent.who()), ..worker.listener.accepted(number) }
    }
}
