//! Messages of netlink with the header of netfilter: a few lines each way, checked against what was received.

use rustix::io::Errno;

use super::counters::Failure;

const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLA_F_NESTED: u16 = 1 << 15;
/// The two high bits of an attribute's type are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;
/// `nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// `nfgenmsg`: family, version, resource.
const NETFILTER_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A request under construction.
#[derive(Debug, Default)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Starts over: a message of type `kind`, for addresses of `family`.
    pub(super) fn begin(&mut self, kind: u16, sequence: u32, family: u8) {
        self.0.clear();
        self.0.extend(0_u32.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(NLM_F_REQUEST.to_ne_bytes());
        self.0.extend(sequence.to_ne_bytes());
        self.0.extend(0_u32.to_ne_bytes());
        self.0.extend([family, 0, 0, 0]);
    }

    /// Adds an attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.sized_attribute(kind, |request| request.0.extend(value));
    }

    /// Adds an attribute that consists of those which `content` adds.
    pub(super) fn nested(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        self.sized_attribute(kind | NLA_F_NESTED, content);
    }

    fn sized_attribute(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend(0_u16.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        content(self);
        // What is asked for has two hundred bytes at most.
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.patch(start, length.to_ne_bytes());
        self.0.resize(aligned(self.0.len()), 0);
    }

    /// The finished message.
    pub(super) fn finish(&mut self) -> &[u8] {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.patch(0, length.to_ne_bytes());
        &self.0
    }

    /// Fills in what was left open.
    fn patch<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&value);
    }
}

/// A received message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// Its type and its attributes.
    Message(u16, Attributes<'a>),
    /// The request failed.
    Error(Errno),
}

/// Reads what was received: `None` if it answers another request than that of `sequence`.
pub(super) fn read(received: &[u8], sequence: u32) -> Result<Option<Answer<'_>>, Failure> {
    let (header, rest) = received.split_first_chunk::<HEADER>().ok_or(Failure::Malformed)?;
    let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
    if u32::from_ne_bytes([s0, s1, s2, s3]) != sequence {
        return Ok(None);
    }
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let body = length.checked_sub(HEADER).and_then(|length| rest.get(..length)).ok_or(Failure::Malformed)?;
    let kind = u16::from_ne_bytes([k0, k1]);
    if kind == NLMSG_ERROR {
        let code = body.first_chunk().map(|code| i32::from_ne_bytes(*code));
        // Zero would be an acknowledgement, which no request asks for.
        let errno = code.filter(|code| (-4095..0).contains(code)).ok_or(Failure::Malformed)?;
        return Ok(Some(Answer::Error(Errno::from_raw_os_error(-errno))));
    }
    let attributes = body.get(NETFILTER_HEADER..).ok_or(Failure::Malformed)?;
    Ok(Some(Answer::Message(kind, Attributes(attributes))))
}

/// Attributes one after another: type and value. Ends where the bytes make no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of a type.
    pub(super) fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The value of the first attribute of a type, if it has just this size.
    pub(super) fn array<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        self.value(kind)?.try_into().ok()
    }

    /// The attributes within the first attribute of a type.
    pub(super) fn within(&self, kind: u16) -> Option<Self> {
        self.value(kind).map(Self)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [l0, l1, k0, k1] = *self.0.first_chunk::<ATTRIBUTE_HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK, value))
    }
}

/// A message as the kernel would send it.
#[cfg(test)]
pub(super) fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(HEADER + body.len()).expect("a short body").to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0, 0]);
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: errors, an acknowledgement, and errors cut short.
    /// Guarantees: an error is itself; everything else is malformed.
    #[test]
    fn reads_errors() {
        let error = |code: i32| message(NLMSG_ERROR, 7, &code.to_ne_bytes());
        assert_eq!(read(&error(-2), 7), Ok(Some(Answer::Error(Errno::NOENT))));
        for code in [0, 1, -4096, i32::MIN] {
            assert_eq!(read(&error(code), 7), Err(Failure::Malformed), "{code}");
        }
        let whole = error(-2);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length], 7), Err(Failure::Malformed), "{length}");
        }
    }

    /// Scenario: an answer to an earlier request.
    /// Guarantees: it is told apart, whatever is in it.
    #[test]
    fn tells_stale_answers_apart() {
        assert_eq!(read(&message(NLMSG_ERROR, 6, &(-1_i32).to_ne_bytes()), 7), Ok(None));
        assert_eq!(read(&message(0x100, 6, &[]), 7), Ok(None));
    }

    /// Scenario: an attribute without a header, longer than the message, and shorter than its own header.
    /// Guarantees: reading ends there; what stands before is had.
    #[test]
    fn stops_at_broken_attributes() {
        let mut good = Request::default();
        good.attribute(1, &[1, 2, 3]);
        for broken in [&[][..], &[8], &[0, 0, 2, 0], &[3, 0, 2, 0], &[200, 0, 2, 0, 1, 2, 3, 4]] {
            let bytes = [&good.0, broken].concat();
            let attributes = Attributes(&bytes);
            assert_eq!(attributes.clone().collect::<Vec<_>>(), [(1, &[1, 2, 3][..])], "{broken:?}");
            assert_eq!(attributes.value(2), None);
        }
    }

    proptest! {
        /// Scenario: any bytes, taken for a message and for attributes.
        /// Guarantees: no panic and no endless loop.
        #[test]
        fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), sequence: u32) {
            let _ = read(&bytes, sequence);
            prop_assert!(Attributes(&bytes).count() <= bytes.len() / ATTRIBUTE_HEADER);
        }

        /// Scenario: any attributes, some within others.
        /// Guarantees: what is written is read.
        #[test]
        fn reads_what_it_writes(
            plain in proptest::collection::vec((0..NLA_TYPE_MASK, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
            kind in 0..NLA_TYPE_MASK,
            sequence: u32,
        ) {
            let mut request = Request::default();
            request.begin(0x101, sequence, 2);
            request.nested(kind, |request| {
                for (kind, value) in &plain {
                    request.attribute(*kind, value);
                }
            });
            let bytes = request.finish();
            let Ok(Some(Answer::Message(0x101, attributes))) = read(bytes, sequence) else {
                panic!("unread: {bytes:?}");
            };
            let within: Vec<_> = attributes.within(kind).unwrap().map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(within, plain);
        }
    }
}
