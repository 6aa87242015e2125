//! Errors of Windows (winerror.h).

/// Errors for something that this machine lacks: ERROR_TOO_MANY_OPEN_FILES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY,
/// ERROR_NO_SYSTEM_RESOURCES, WSAEMFILE, WSAEADDRNOTAVAIL, WSAENOBUFS.
pub(super) const SHORTAGES: [i32; 7] = [4, 8, 14, 1_450, 10_024, 10_049, 10_055];
