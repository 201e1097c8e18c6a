/// The operations of a [`SessionBackend`](cloakroom_core::SessionBackend), as [`Spy`](crate::Spy) counts and
/// [`Faulty`](crate::Faulty) disturbs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `read`
    Read,
    /// `write`
    Write,
    /// `rotate`
    Rotate,
    /// `touch`
    Touch,
    /// `remove`
    Remove,
    /// `scan`
    Scan,
    /// `count`
    Count,
    /// `remove_all`
    RemoveAll,
    /// `sweep`
    Sweep,
}

impl Operation {
    /// The name of the method.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Rotate => "rotate",
            Self::Touch => "touch",
            Self::Remove => "remove",
            Self::Scan => "scan",
            Self::Count => "count",
            Self::RemoveAll => "remove_all",
            Self::Sweep => "sweep",
        }
    }
}
