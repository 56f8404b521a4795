//! Bodies of searches as they are read, and what is refused, by name.
