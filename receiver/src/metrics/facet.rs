//! What series are split by, and where a group has them.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::rc::Rc;

use convis_exporters::model::{PeerNetwork, Role};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::instruments::{Extra, Instrument};

/// The service at the other end, where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerService {
    /// Of both names: it is asked for once for each connection.
    hash: u64,
    name: Box<str>,
    namespace: Option<Box<str>>,
}

impl PeerService {
    /// The service with this name, in this namespace.
    pub fn new(name: &str, namespace: Option<&str>) -> Self {
        use std::hash::BuildHasher as _;

        let hash = FxBuildHasher.hash_one((name, namespace));
        Self { hash, name: name.into(), namespace: namespace.map(Into::into) }
    }

    /// `service.peer.name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `service.peer.namespace`.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

/// What all connection instruments are split by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimensions {
    /// `network.type` is `ipv6`.
    pub v6: bool,
    /// `convis.connection.role`.
    pub role: Role,
    /// `server.port`, while it is kept.
    pub port: Option<u16>,
    /// `convis.peer.network`.
    pub network: PeerNetwork,
    /// `service.peer.name` and `service.peer.namespace`.
    pub peer: Option<Rc<PeerService>>,
}

impl Hash for Dimensions {
    /// One number for all that is small: of an end's cost, looking these up is a good part.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let port = self.port.map_or(0, |port| 1 << 16 | u64::from(port));
        let small = port << 2 | u64::from(self.v6) << 1 | u64::from(self.role == Role::Client);
        let peer = self.peer.as_ref().map_or(0, |peer| peer.hash);
        state.write_u64(small ^ peer);
        self.network.hash(state);
    }
}

/// Dimensions, and where the one group that counts by this facet has their series: found once, not for each amount.
#[derive(Debug)]
pub struct Facet {
    of: Option<Dimensions>,
    row: Cell<Option<RowId>>,
}

impl Facet {
    /// Of instruments that nothing but their own dimension splits.
    pub const fn undivided() -> Self {
        Self { of: None, row: Cell::new(Some(RowId::UNDIVIDED)) }
    }

    /// From now on another group counts by it.
    pub fn leave(&mut self) {
        if self.of.is_some() {
            self.row.set(None);
        }
    }

    /// What splits the series.
    pub const fn dimensions(&self) -> Option<&Dimensions> {
        self.of.as_ref()
    }
}

impl From<Dimensions> for Facet {
    fn from(of: Dimensions) -> Self {
        Self { of: Some(of), row: Cell::new(None) }
    }
}

/// A series of a group; its number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesId(NonZeroU32);

impl SeriesId {
    pub(super) fn at(index: usize) -> Self {
        Self(number(index))
    }

    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// All series of some dimensions; their number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RowId(NonZeroU32);

impl RowId {
    const UNDIVIDED: Self = Self(NonZeroU32::MIN);

    #[inline]
    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Series are far fewer than memory has room for.
fn number(index: usize) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(u32::try_from(index).unwrap_or(u32::MAX))
}

/// The series of some dimensions.
#[derive(Debug, Default)]
struct Row {
    /// Those that every connection has, by [`place`].
    usual: [Option<SeriesId>; USUAL],
    /// The others: few enough to be looked through.
    others: Vec<(Instrument, Extra, SeriesId)>,
}

const USUAL: usize = 8;

/// Where the usual series are in a row.
#[inline]
const fn place(instrument: Instrument, extra: Extra) -> Option<usize> {
    Some(match (instrument, extra) {
        (Instrument::Io, Extra::Transmit) => 0,
        (Instrument::Io, Extra::Receive) => 1,
        (Instrument::Opened, Extra::None) => 2,
        (Instrument::Active, Extra::None) => 3,
        (Instrument::Duration, Extra::None) => 4,
        (Instrument::Handshake, Extra::None) => 5,
        (Instrument::Rtt, Extra::None) => 6,
        (Instrument::Retransmits, Extra::None) => 7,
        _ => return None,
    })
}

/// Where a group has the series of all dimensions.
#[derive(Debug)]
pub(super) struct Rows {
    ids: FxHashMap<Dimensions, RowId>,
    /// The first one is [`Facet::undivided`]'s.
    rows: Vec<Row>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { ids: FxHashMap::default(), rows: vec![Row::default()] }
    }
}

impl Rows {
    /// The series, if it has begun and this is known of the facet.
    #[inline]
    pub(super) fn find(&self, facet: &Facet, instrument: Instrument, extra: Extra) -> Option<SeriesId> {
        let row = self.rows.get(facet.row.get()?.index())?;
        match place(instrument, extra) {
            Some(place) => row.usual[place],
            None => row.other(instrument, extra),
        }
    }

    /// Finds out where the series of a facet are, if there are any: `true` if that was not known before.
    pub(super) fn locate(&self, facet: &Facet) -> bool {
        let is_unknown = facet.row.get().is_none();
        if is_unknown {
            facet.row.set(facet.of.as_ref().and_then(|of| self.ids.get(of).copied()));
        }
        is_unknown && facet.row.get().is_some()
    }

    /// A series has begun.
    pub(super) fn add(&mut self, facet: &Facet, instrument: Instrument, extra: Extra, id: SeriesId) {
        self.locate(facet);
        let row = facet.row.get().unwrap_or_else(|| self.begin(facet));
        let row = &mut self.rows[row.index()];
        match place(instrument, extra) {
            Some(place) => row.usual[place] = Some(id),
            None => row.others.push((instrument, extra, id)),
        }
    }

    fn begin(&mut self, facet: &Facet) -> RowId {
        let new = RowId(number(self.rows.len()));
        self.rows.push(Row::default());
        self.ids.extend(facet.of.clone().map(|of| (of, new)));
        facet.row.set(Some(new));
        new
    }
}

impl Row {
    fn other(&self, instrument: Instrument, extra: Extra) -> Option<SeriesId> {
        let mut found = self.others.iter().filter(|(of, with, _)| *of == instrument && *with == extra);
        found.next().map(|(.., id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::{CloseReason, ConnectError};

    use super::*;

    fn dimensions(port: Option<u16>, peer: Option<(&str, Option<&str>)>) -> Dimensions {
        let peer = peer.map(|(name, namespace)| Rc::new(PeerService::new(name, namespace)));
        Dimensions { v6: false, role: Role::Client, port, network: PeerNetwork::Private, peer }
    }

    /// Scenario: series of every instrument and own dimension, of several dimensions that differ in one thing each, by facets made
    /// anew.
    /// Guarantees: each is found as itself, none before it has begun.
    #[test]
    fn series_are_told_apart() {
        let extras = [
            Extra::None,
            Extra::Transmit,
            Extra::Receive,
            Extra::Reason(CloseReason::PeerClose),
            Extra::Reason(CloseReason::Unknown),
            Extra::Error(ConnectError::Refused),
            Extra::Error(ConnectError::Other),
        ];
        let all = [
            dimensions(None, None),
            dimensions(Some(0), None),
            Dimensions { v6: true, ..dimensions(None, None) },
            Dimensions { role: Role::Server, ..dimensions(None, None) },
            Dimensions { network: PeerNetwork::Public, ..dimensions(None, None) },
            dimensions(None, Some(("a", None))),
            dimensions(None, Some(("a", Some("b")))),
            dimensions(None, Some(("a", Some("c")))),
        ];
        let facets = || all.iter().cloned().map(Facet::from).chain([Facet::undivided()]);
        let keys =
            || Instrument::ALL.into_iter().flat_map(|instrument| extras.map(|extra| (instrument, extra)));
        let mut rows = Rows::default();
        let mut count = 0;
        for facet in facets() {
            for (instrument, extra) in keys() {
                assert_eq!(rows.find(&facet, instrument, extra), None);
                rows.add(&facet, instrument, extra, SeriesId::at(count));
                count += 1;
            }
        }
        let mut next = 0;
        for facet in facets() {
            for (instrument, extra) in keys() {
                rows.locate(&facet);
                assert_eq!(rows.find(&facet, instrument, extra), Some(SeriesId::at(next)));
                next += 1;
            }
        }
        assert_eq!((next, rows.rows.len()), (count, all.len() + 1));
    }
}
