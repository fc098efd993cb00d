//! The resource types, in the order in which they are applied.

/// What a resource is about. The order is that of application: a type may refer to those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ResourceType {
    /// Who the nodes are.
    Nodes,
    /// Which nodes have which shards.
    Placement,
    /// The base routing table.
    Routes,
    /// What operators want, as far as nodes enforce it.
    Policy,
}

impl ResourceType {
    /// All types in the order of application.
    pub const ALL: [Self; 4] = [Self::Nodes, Self::Placement, Self::Routes, Self::Policy];

    /// The type's place in the order, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Nodes => 0,
            Self::Placement => 1,
            Self::Routes => 2,
            Self::Policy => 3,
        }
    }
}

/// One value for each resource type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PerType<T>([T; 4]);

impl<T> PerType<T> {
    /// Makes the value of each type.
    pub fn from_fn(make: impl FnMut(ResourceType) -> T) -> Self {
        Self(ResourceType::ALL.map(make))
    }

    /// The value of a type.
    #[must_use]
    pub fn of(&self, kind: ResourceType) -> &T {
        &self.0[kind.index()]
    }

    /// The value of a type, to change it.
    pub fn of_mut(&mut self, kind: ResourceType) -> &mut T {
        &mut self.0[kind.index()]
    }

    /// All values in the order of application.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ResourceType, &T)> {
        ResourceType::ALL.into_iter().zip(&self.0)
    }
}
