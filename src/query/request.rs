//! What a search asks for, and what it answers, as JSON.

/// Placeholder shapes of the skeleton; see the design for the fields.
pub struct AsOf;
pub struct DocumentAnswer;
pub struct Hit;
pub struct LegHit;
pub struct Mode;
pub struct SearchAnswer;
pub struct SearchRequest;
pub struct Stats;
