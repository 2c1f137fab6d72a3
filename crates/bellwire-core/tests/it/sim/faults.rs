//! Mistakes planted to see that the checkers find them.

use bellwire_core::shard::PlantedFault;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A resuming client starts at the head.
    SkipCatchUp,
    /// The rest of a frame that the socket took in part is forgotten.
    ForgetPartialFrame,
    /// A restarted node keeps its epoch, and counts from the beginning.
    ReusedEpoch,
    /// Interest is registered some time after the head was read.
    LateInterest,
    /// An announcement is lost, and later ones hide it.
    LostAnnouncement,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] = [
        Self::SkipCatchUp,
        Self::ForgetPartialFrame,
        Self::ReusedEpoch,
        Self::LateInterest,
        Self::LostAnnouncement,
    ];

    /// The part of it that lives in the shard.
    pub(crate) fn planted(self) -> Option<PlantedFault> {
        match self {
            Self::SkipCatchUp => Some(PlantedFault::SkipCatchUp),
            Self::ForgetPartialFrame => Some(PlantedFault::ForgetPartialFrame),
            Self::ReusedEpoch | Self::LateInterest | Self::LostAnnouncement => None,
        }
    }
}
