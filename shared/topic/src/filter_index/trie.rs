//! Filters with wildcards: a trie of levels.
//!
//! A node stands for the beginning of at least one filter. Its `+` child, its only literal child and the values of the
//! filters that end at it, or with `#` behind it, stand in the node itself. Where a node has several literal children, they
//! are found in one hash table of all such edges, by the hash of the whole path from the root. The table holds only the
//! child's id, and the child says which edge leads to it (its parent and the level's key), so that a step costs one or two
//! cache lines. The hashes follow from the topic alone, so the lines of several steps are fetched at the same time.
//!
//! Invariants: every node but the root has a value or a child; the table has exactly the children that their parents
//! count as listed.

use std::ops::ControlFlow;

use super::node::{Ends, Literals, Node};
use crate::hash::{KeyedHash, PathHash};
use crate::id_table::IdTable;
use crate::level::{LevelKey, Symbols, TopicLevels};
use crate::pool::{NIL, Pool};

/// A map from filters with wildcards to values.
pub(super) struct FilterTrie<V> {
    nodes: Pool<Node>,
    edges: IdTable,
    symbols: Symbols,
    values: Pool<Option<V>>,
    /// Values of filters that end at one node: here, and with `#` behind.
    pairs: Pool<(u32, u32)>,
}

impl<V> FilterTrie<V> {
    pub(super) fn new() -> Self {
        Self {
            nodes: Pool::new(),
            edges: IdTable::new(),
            symbols: Symbols::new(),
            values: Pool::new(),
            pairs: Pool::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn get(&self, hash: &KeyedHash, filter: &str) -> Option<&V> {
        self.value(self.value_of(self.find(hash, filter)?))
    }

    pub(super) fn get_mut(&mut self, hash: &KeyedHash, filter: &str) -> Option<&mut V> {
        let value = self.value_of(self.find(hash, filter)?);
        if value == NIL { None } else { self.values.at_mut(value).as_mut() }
    }

    pub(super) fn get_or_insert_with(&mut self, hash: &KeyedHash, filter: &str, make: impl FnOnce() -> V) -> &mut V {
        let place = self.grow(hash, filter);
        let mut value = self.value_of(place);
        if value == NIL {
            value = self.values.add(None);
            self.set_value(place, value);
        }
        self.values.at_mut(value).get_or_insert_with(make)
    }

    pub(super) fn remove(&mut self, hash: &KeyedHash, filter: &str) -> Option<V> {
        let place = self.find(hash, filter)?;
        let id = self.value_of(place);
        if id == NIL {
            return None;
        }
        self.set_value(place, NIL);
        let value = self.values.take(id);
        if self.values.len() == 0 {
            *self = Self::new();
        } else {
            self.prune(hash, filter, place.node);
        }
        value
    }

    /// Calls `f` for each filter that matches, until it breaks.
    ///
    /// Walks the trie depth first. What waits on the stack are `+` children, at most one for each level of the topic.
    #[inline]
    pub(super) fn visit(
        &self,
        hash: &KeyedHash,
        topic: &str,
        mut f: impl FnMut(&V) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.len() == 0 {
            return ControlFlow::Continue(());
        }
        let mut levels = TopicLevels::new(&self.symbols, hash, topic);
        let mut waiting = Waiting::new();
        let mut step = Step { node: ROOT, depth: 0, path: hash.root() };
        // Wildcards in the first level do not match a topic that starts with `$` [MQTT-4.7.2-1].
        let mut wildcards = !topic.starts_with('$');
        loop {
            let Step { node: id, depth, path } = step;
            let node = self.nodes.at(id);
            let level = levels.at(depth as usize);
            let (here, below) = self.values_at(node);
            if wildcards {
                self.call(below, &mut f)?;
            }
            let mut next = None;
            if let Some(key) = level {
                let depth = depth + 1;
                let literal_path = hash.extend(path, key.words());
                let literal = self.child(literal_path, id, node, key);
                if literal != NIL {
                    next = Some(Step { node: literal, depth, path: literal_path });
                }
                if wildcards && node.plus != NIL {
                    let plus = Step { node: node.plus, depth, path: hash.extend(path, LevelKey::PLUS.words()) };
                    if next.is_some() {
                        waiting.push(plus);
                    } else {
                        next = Some(plus);
                    }
                }
            } else {
                self.call(here, &mut f)?;
            }
            wildcards = true;
            match next.or_else(|| waiting.pop()) {
                Some(next) => step = next,
                None => return ControlFlow::Continue(()),
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (String, &V)> {
        self.nodes.iter().flat_map(move |node| {
            let (here, below) = self.values_at(node);
            let here = self.value(here).map(|value| (self.text(node, ""), value));
            let below = self.value(below).map(|value| (self.text(node, "#"), value));
            here.into_iter().chain(below)
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes() + self.edges.memory_bytes() + self.symbols.memory_bytes() + self.values.memory_bytes()
    }

    #[inline]
    fn call(&self, value: u32, f: &mut impl FnMut(&V) -> ControlFlow<()>) -> ControlFlow<()> {
        self.value(value).map_or(ControlFlow::Continue(()), f)
    }

    #[inline]
    fn value(&self, id: u32) -> Option<&V> {
        if id == NIL { None } else { self.values.at(id).as_ref() }
    }

    /// The literal child, at the end of `path`, of `node`, whose id is `parent`; or `NIL`.
    #[inline]
    fn child(&self, path: PathHash, parent: u32, node: &Node, key: LevelKey) -> u32 {
        match node.literals() {
            Literals::None => NIL,
            Literals::Only(child) => {
                if self.nodes.at(child).key == key {
                    child
                } else {
                    NIL
                }
            }
            Literals::Listed(_) => {
                let is_it = |id| {
                    let child = self.nodes.at(id);
                    child.parent == parent && child.key == key
                };
                self.edges.find(path.short(), is_it).unwrap_or(NIL)
            }
        }
    }

    /// Where the value of a filter stands if all its nodes exist.
    fn find(&self, hash: &KeyedHash, filter: &str) -> Option<Place> {
        if self.len() == 0 {
            return None;
        }
        let mut node = ROOT;
        let mut path = hash.root();
        for level in filter.split('/') {
            if level == "#" {
                return Some(Place { node, is_hash: true });
            }
            let key = self.key(hash, level);
            path = hash.extend(path, key.words());
            let parent = self.nodes.at(node);
            node = if key == LevelKey::PLUS { parent.plus } else { self.child(path, node, parent, key) };
            if node == NIL {
                return None;
            }
        }
        Some(Place { node, is_hash: false })
    }

    /// Where the value of a filter stands; makes the nodes that are missing.
    fn grow(&mut self, hash: &KeyedHash, filter: &str) -> Place {
        if self.nodes.len() == 0 {
            let root = self.nodes.add(Node::new(NIL, LevelKey::ROOT));
            assert_eq!(root, ROOT, "the root is the first node");
        }
        let mut node = ROOT;
        let mut path = hash.root();
        for level in filter.split('/') {
            if level == "#" {
                return Place { node, is_hash: true };
            }
            (node, path) = if level == "+" {
                (self.grow_plus(node), hash.extend(path, LevelKey::PLUS.words()))
            } else {
                self.grow_literal(hash, node, path, level.as_bytes())
            };
        }
        Place { node, is_hash: false }
    }

    /// The key of a filter's level other than `#`.
    fn key(&self, hash: &KeyedHash, level: &str) -> LevelKey {
        if level == "+" { LevelKey::PLUS } else { self.symbols.key(hash, level.as_bytes()) }
    }

    fn grow_plus(&mut self, parent: u32) -> u32 {
        let plus = self.nodes.at(parent).plus;
        if plus != NIL {
            return plus;
        }
        let id = self.nodes.add(Node::new(parent, LevelKey::PLUS));
        self.nodes.at_mut(parent).plus = id;
        id
    }

    /// The literal child of `parent`, which is at the end of `path`, and the path to the child.
    fn grow_literal(&mut self, hash: &KeyedHash, parent: u32, path: PathHash, level: &[u8]) -> (u32, PathHash) {
        let key = self.symbols.key(hash, level);
        let child_path = hash.extend(path, key.words());
        let child = self.child(child_path, parent, self.nodes.at(parent), key);
        if child != NIL {
            return (child, child_path);
        }
        let key = self.symbols.acquire(hash, level);
        let child_path = hash.extend(path, key.words());
        let id = self.nodes.add(Node::new(parent, key));
        let literals = match self.nodes.at(parent).literals() {
            Literals::None => Literals::Only(id),
            Literals::Only(first) => {
                let first_path = hash.extend(path, self.nodes.at(first).key.words());
                self.edges.insert(first_path.short(), first);
                self.edges.insert(child_path.short(), id);
                Literals::Listed(2)
            }
            Literals::Listed(count) => {
                self.edges.insert(child_path.short(), id);
                Literals::Listed(count + 1)
            }
        };
        self.nodes.at_mut(parent).set_literals(literals);
        (id, child_path)
    }

    /// Frees the last node of a filter's path if it serves no filter, and its ancestors as far as they served only it.
    fn prune(&mut self, hash: &KeyedHash, filter: &str, mut id: u32) {
        let levels = filter.split('/').take_while(|&level| level != "#");
        let extend = |path: &mut PathHash, level| {
            *path = hash.extend(*path, self.key(hash, level).words());
            Some(*path)
        };
        let paths: Vec<PathHash> = levels.scan(hash.root(), extend).collect();
        for path in paths.into_iter().rev() {
            if !self.nodes.at(id).is_bare() {
                return;
            }
            let Node { parent, key, .. } = self.nodes.take(id);
            if key == LevelKey::PLUS {
                self.nodes.at_mut(parent).plus = NIL;
            } else {
                self.unlink_literal(parent, path, id);
                self.symbols.release(hash, key);
            }
            id = parent;
        }
    }

    fn unlink_literal(&mut self, parent: u32, path: PathHash, id: u32) {
        let literals = match self.nodes.at(parent).literals() {
            Literals::None | Literals::Only(_) => Literals::None,
            Literals::Listed(count) => {
                assert!(self.edges.remove(path.short(), id), "a listed child is in the table of edges");
                // The last one stays listed: nothing but the table knows which it is.
                if count == 1 { Literals::None } else { Literals::Listed(count - 1) }
            }
        };
        self.nodes.at_mut(parent).set_literals(literals);
    }

    /// The values of the filters that end at a node, and with `#` behind it; `NIL` where there is none.
    #[inline]
    fn values_at(&self, node: &Node) -> (u32, u32) {
        match node.ends() {
            Ends::None => (NIL, NIL),
            Ends::Here(value) => (value, NIL),
            Ends::Below(value) => (NIL, value),
            Ends::Both(pair) => *self.pairs.at(pair),
        }
    }

    fn value_of(&self, place: Place) -> u32 {
        let (here, below) = self.values_at(self.nodes.at(place.node));
        if place.is_hash { below } else { here }
    }

    fn set_value(&mut self, place: Place, value: u32) {
        let node = self.nodes.at(place.node);
        let (mut here, mut below) = self.values_at(node);
        if let Ends::Both(pair) = node.ends() {
            self.pairs.take(pair);
        }
        if place.is_hash {
            below = value;
        } else {
            here = value;
        }
        let ends = match (here, below) {
            (NIL, NIL) => Ends::None,
            (here, NIL) => Ends::Here(here),
            (NIL, below) => Ends::Below(below),
            both => Ends::Both(self.pairs.add(both)),
        };
        self.nodes.at_mut(place.node).set_ends(ends);
    }

    /// The filter that leads to a node, and then `last` as one level more unless it is empty.
    fn text(&self, node: &Node, last: &str) -> String {
        let mut keys = Vec::new();
        let mut node = node;
        while node.key != LevelKey::ROOT {
            keys.push(node.key);
            node = self.nodes.at(node.parent);
        }
        let mut text = Vec::new();
        for &key in keys.iter().rev() {
            self.symbols.write(key, &mut text);
            text.push(b'/');
        }
        if last.is_empty() {
            text.pop();
        }
        text.extend_from_slice(last.as_bytes());
        // Whole levels of valid text: nothing is lost.
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Where a filter's value stands: at a node, or at the `#` below it.
#[derive(Clone, Copy)]
struct Place {
    node: u32,
    is_hash: bool,
}

/// Where a match stands: at a node, behind so many levels of the topic.
#[derive(Clone, Copy)]
struct Step {
    node: u32,
    depth: u32,
    path: PathHash,
}

/// The stack of a match: where it has yet to go.
struct Waiting {
    first: [Option<Step>; WAITING_INLINE],
    more: Vec<Step>,
    len: usize,
}

impl Waiting {
    fn new() -> Self {
        Self { first: [None; WAITING_INLINE], more: Vec::new(), len: 0 }
    }

    #[inline]
    fn push(&mut self, step: Step) {
        if self.len < WAITING_INLINE {
            self.first[self.len] = Some(step);
        } else {
            self.more.push(step);
        }
        self.len += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<Step> {
        self.len = self.len.checked_sub(1)?;
        if self.len < WAITING_INLINE { self.first[self.len] } else { self.more.pop() }
    }
}

const ROOT: u32 = 0;
/// A stack this deep needs no allocation; it grows only at levels where both a literal and `+` match.
const WAITING_INLINE: usize = 16;
