//! What the code of a method has where.

/// The code as far as the StackMap depends on it.
pub(crate) struct Layout {
    /// An instruction starts here.
    pub starts: Vec<bool>,
    /// An instruction `new` starts here.
    pub news: Vec<bool>,
    /// A StackMap must have an entry here.
    pub joins: Vec<bool>,
    pub max_stack: u16,
    pub max_locals: u16,
}
