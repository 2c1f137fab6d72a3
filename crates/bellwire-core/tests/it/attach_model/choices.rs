//! Walks every path through a program that asks what to do next: plays it again and again, each
//! time with the next sequence of answers.

/// The answers of one path.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// What was chosen, of how many.
    path: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    /// The answer to a question with so many answers.
    pub(super) fn choose(&mut self, of: usize) -> usize {
        if self.at == self.path.len() {
            self.path.push((0, of));
        }
        let (chosen, known) = self.path[self.at];
        assert_eq!(
            known, of,
            "the program must ask the same after the same answers"
        );
        self.at += 1;
        chosen
    }

    fn next_path(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.path.pop() {
            if chosen + 1 < of {
                self.path.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

/// Plays every path; returns how many there are, or the first that fails.
pub(super) fn every_path(
    mut play: impl FnMut(&mut Choices) -> Result<(), String>,
) -> Result<usize, String> {
    let mut choices = Choices::default();
    for played in 1.. {
        play(&mut choices).map_err(|wrong| format!("{wrong}, after {:?}", choices.path))?;
        if !choices.next_path() {
            return Ok(played);
        }
    }
    unreachable!("the paths are finite")
}

#[test]
fn every_path_is_played_once() {
    let mut seen = Vec::new();
    let count = every_path(|choices| {
        let first = choices.choose(2);
        let second = choices.choose(first + 1);
        seen.push((first, second));
        Ok(())
    });
    assert_eq!(count, Ok(3));
    assert_eq!(seen, [(0, 0), (1, 0), (1, 1)]);
}
