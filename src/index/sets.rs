//! Which sets of vectors an index has, and which of them answer.
//!
//! Each vector field has one set, in the leg of its own number. An upgrade to another model makes a second one of a
//! field, in a leg behind all others; a switch says at which tick it answers. A query is answered by one set, so by one
//! model.

use std::sync::Arc;

/// The vectors that one model has made for a vector field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorSet {
    /// The number of the leg that holds them.
    pub leg: u16,
    /// Empty where vectors are ready-made.
    pub model: Arc<str>,
    pub dimensions: usize,
    /// The embedder's settings, as `[embedder]` has them, where they are not those of the dataflow file.
    pub settings: Option<Arc<str>>,
}

/// A vector field as the dataflow file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOfFile {
    pub name: String,
    /// Empty where vectors are ready-made.
    pub model: String,
}

/// All sets of an index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sets {
    /// The vector fields of the dataflow file.
    pub fields: Arc<[FieldOfFile]>,
    /// By vector field of the dataflow file. A field beyond the end has the leg of its own number.
    pub answering: Vec<VectorSet>,
    pub second: Option<SecondSet>,
}

/// A set that is kept up to date and does not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondSet {
    /// The number of its vector field.
    pub field: u16,
    pub set: VectorSet,
    pub phase: Phase,
    pub progress: Progress,
}

/// What a second set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Documents that the other set has lack a vector in this one.
    Building,
    /// It can answer.
    Complete,
    /// It has answered before a switch, and can do so again.
    Former,
}

/// How far a second set is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Documents whose text has not been looked at yet.
    pub documents_left: usize,
    /// Whether no text is awaited any more that would have to be there before the set can answer: what it lacks then
    /// was refused.
    pub is_through: bool,
    /// Different texts that have a vector, or never will.
    pub texts_done: usize,
    /// Different texts that wait for the embedder.
    pub texts_waiting: usize,
    /// Since the node has started.
    pub texts_embedded: u64,
    /// Of the texts embedded, as estimated.
    pub tokens: u64,
    /// Since the set or the node has begun.
    pub millis: u64,
}

impl Sets {
    /// The leg that answers for a vector field.
    pub fn leg(&self, field: usize) -> usize {
        self.answering
            .get(field)
            .map_or(field, |set| usize::from(set.leg))
    }

    /// Whether a leg answers; what does not is none of a reader's business.
    pub fn answers(&self, leg: usize) -> bool {
        let second = self.second.as_ref();
        match self.answering.is_empty() {
            true => second.is_none_or(|second| usize::from(second.set.leg) != leg),
            false => self.answering.iter().any(|set| usize::from(set.leg) == leg),
        }
    }

    /// The legs that a checkpoint keeps, in the order in which the next start has them. What is being built is not among
    /// them: it is made of the vectors of texts again, which are kept.
    pub fn stored_legs(&self) -> Vec<u16> {
        let second = self
            .second
            .iter()
            .filter(|second| second.phase != Phase::Building);
        let sets = self.answering.iter().chain(second.map(|second| &second.set));
        sets.map(|set| set.leg).collect()
    }

    /// Changes over to the second set; the one that has answered becomes the second.
    pub fn switch(&mut self) {
        let Some(second) = &mut self.second else { return };
        let Some(answering) = self.answering.get_mut(usize::from(second.field)) else {
            return;
        };
        std::mem::swap(answering, &mut second.set);
        second.phase = match second.phase {
            Phase::Former => Phase::Complete,
            Phase::Building | Phase::Complete => Phase::Former,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_and_one_back_leave_everything_as_it_was() {
        let set = |leg| VectorSet {
            leg,
            ..VectorSet::default()
        };
        let mut sets = Sets {
            fields: Arc::default(),
            answering: vec![set(0), set(1)],
            second: Some(SecondSet {
                field: 1,
                set: set(2),
                phase: Phase::Complete,
                progress: Progress::default(),
            }),
        };
        let before = sets.clone();
        sets.switch();
        assert_eq!((sets.leg(0), sets.leg(1)), (0, 2));
        assert!(sets.answers(2) && !sets.answers(1));
        assert_eq!(sets.second.as_ref().unwrap().phase, Phase::Former);
        sets.switch();
        assert_eq!(sets, before);
    }

    #[test]
    fn without_upgrades_a_field_has_the_leg_of_its_number() {
        let sets = Sets::default();
        assert_eq!(sets.leg(3), 3);
        assert!(sets.answers(3));
    }
}
