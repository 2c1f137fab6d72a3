//! Attach against append: every interleaving of small scripts, with the real shard and engine.
//!
//! Each step of a path is one of: the next action of the subscribers, the next publish, or the
//! delivery of the first message of a link between the shards. Every subscriber has to get exactly
//! the publications behind its start, once and in order (D1, D4, D5).

mod choices;

mod node;

use self::{
    choices::{Choices, every_path},
    node::{From, Node},
};

/// What subscribers do, in this order.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// A socket, its shard, its start.
    Open(u32, usize, From),
    Close(u32),
}

use Action::{Close, Open};

/// A small story.
#[derive(Clone, Copy, Debug)]
struct Script<'a> {
    /// Publications before it begins.
    before: usize,
    /// Publications at any time in it.
    during: usize,
    actions: &'a [Action],
    shrunk: bool,
    late_interest: bool,
}

impl Script<'_> {
    fn play(self, choices: &mut Choices) -> Result<(), String> {
        let mut node = Node::new(self.late_interest, self.shrunk);
        for _ in 0..self.before {
            node.publish();
        }
        let mut actions = self.actions.iter();
        let mut publishes = self.during;
        loop {
            let busy = node.busy();
            let acts = usize::from(!actions.as_slice().is_empty());
            let publishing = usize::from(publishes > 0);
            let late = usize::from(node.has_late());
            let options = busy.len() + acts + publishing + late;
            if options == 0 {
                return node.check();
            }
            let mut chosen = choices.choose(options);
            if chosen < busy.len() {
                node.deliver(busy[chosen]);
                continue;
            }
            chosen -= busy.len();
            if chosen < acts {
                match *actions.next().expect("there is one") {
                    Open(socket, shard, from) => node.open(socket, shard, from),
                    Close(socket) => node.close(socket),
                }
            } else if chosen < acts + publishing {
                publishes -= 1;
                node.publish();
            } else {
                node.release_late();
            }
        }
    }

    /// Plays every interleaving with whole and with shrunk announcements.
    fn holds(self, at_least: usize) {
        for shrunk in [false, true] {
            let script = Self { shrunk, ..self };
            match every_path(|choices| script.play(choices)) {
                Ok(paths) => assert!(paths >= at_least, "only {paths} paths"),
                Err(wrong) => panic!("{script:?}: {wrong}"),
            }
        }
    }
}

fn script(before: usize, during: usize, actions: &[Action]) -> Script<'_> {
    Script {
        before,
        during,
        actions,
        shrunk: false,
        late_interest: false,
    }
}

#[test]
fn d4_a_fresh_subscriber_misses_nothing_behind_its_start() {
    script(0, 4, &[Open(1, 1, From::Latest)]).holds(90);
    script(2, 4, &[Open(1, 1, From::Latest)]).holds(90);
    script(1, 4, &[Open(1, 0, From::Latest)]).holds(5);
}

#[test]
fn d4_a_returning_subscriber_gets_exactly_what_it_missed() {
    script(3, 4, &[Open(1, 1, From::After(1))]).holds(90);
    script(3, 4, &[Open(1, 1, From::After(3))]).holds(90);
    script(3, 4, &[Open(1, 0, From::After(1))]).holds(5);
}

#[test]
fn d4_two_subscribers_of_one_shard_share_its_interest() {
    let both = [Open(1, 1, From::Latest), Open(2, 1, From::After(1))];
    script(2, 2, &both).holds(500);
    let both = [Open(1, 1, From::After(1)), Open(2, 1, From::Latest)];
    script(2, 2, &both).holds(500);
}

#[test]
fn d4_interest_withdrawn_and_registered_again_loses_nothing() {
    for from in [From::Latest, From::After(1)] {
        let again = [Open(1, 1, From::Latest), Close(1), Open(2, 1, from)];
        script(1, 2, &again).holds(500);
    }
}

#[test]
fn d4_a_subscriber_that_leaves_while_another_comes_takes_nothing_along() {
    let story = [
        Open(1, 1, From::Latest),
        Open(2, 1, From::After(1)),
        Close(1),
    ];
    script(1, 2, &story).holds(500);
}

#[test]
fn the_planted_late_interest_is_found() {
    let script = Script {
        late_interest: true,
        ..script(1, 2, &[Open(1, 1, From::Latest)])
    };
    let found = every_path(|choices| script.play(choices));
    assert!(found.is_err(), "{found:?}");
}
