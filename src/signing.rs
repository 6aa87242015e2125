//! Signature Version 4: the wire request, its canonical form and the signature. No I/O, no clock.
