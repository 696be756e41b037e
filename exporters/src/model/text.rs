//! Addresses, numbers and ids as text, on the stack: four addresses are in each event, and the formatting machinery costs more
//! than all else of an attribute.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

/// What the longest one takes: an address of IPv6 that ends in one of IPv4, in brackets, and its port.
const ROOM: usize = 56;

/// A short text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    bytes: [u8; ROOM],
    length: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    /// An address in its canonical form.
    pub(crate) fn ip(address: IpAddr) -> Self {
        let mut text = Self::new();
        text.push_ip(address);
        text
    }

    /// An address and its port.
    pub(crate) fn socket(address: SocketAddr) -> Self {
        let mut text = Self::new();
        match address.ip() {
            ip @ IpAddr::V4(_) => text.push_ip(ip),
            ip @ IpAddr::V6(_) => {
                text.push(b'[');
                text.push_ip(ip);
                text.push(b']');
            }
        }
        text.push(b':');
        text.extend(itoa::Buffer::new().format(address.port()).as_bytes());
        text
    }

    /// 16 hexadecimal digits.
    pub(crate) fn hex(id: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Self::new();
        for byte in id.to_be_bytes() {
            text.push(DIGITS[usize::from(byte >> 4)]);
            text.push(DIGITS[usize::from(byte & 15)]);
        }
        text
    }

    /// The text's bytes, which are ASCII.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn push_ip(&mut self, address: IpAddr) {
        let IpAddr::V4(v4) = address else {
            // The longest one fits.
            _ = write!(self, "{address}");
            return;
        };
        for (index, octet) in v4.octets().into_iter().enumerate() {
            if index > 0 {
                self.push(b'.');
            }
            if octet >= 100 {
                self.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                self.push(b'0' + octet / 10 % 10);
            }
            self.push(b'0' + octet % 10);
        }
    }

    /// What does not fit is left out.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(*byte);
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend(text.as_bytes());
        Ok(())
    }
}

/// Takes text to the end of a buffer.
pub(crate) struct Utf8<'a>(pub(crate) &'a mut Vec<u8>);

impl fmt::Write for Utf8<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: any address, port and id.
        /// Guarantees: the text that the standard library makes of it.
        #[test]
        fn is_what_the_standard_library_writes(address: IpAddr, port: u16, id: u64) {
            let socket = SocketAddr::new(address, port);
            let texts = [Text::ip(address), Text::socket(socket), Text::hex(id)];
            let expected = [address.to_string(), socket.to_string(), format!("{id:016x}")];
            prop_assert_eq!(texts.each_ref().map(Text::as_str), expected.each_ref().map(String::as_str));
        }
    }

    /// Scenario: the longest addresses there are.
    /// Guarantees: nothing is cut.
    #[test]
    fn the_longest_fit() {
        for text in [
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            "[::ffff:255.255.255.255]:65535",
            "255.255.255.255:65535",
        ] {
            let socket: SocketAddr = text.parse().unwrap();
            assert_eq!(Text::socket(socket).as_str(), text);
        }
    }
}
