// The packages that carry the program, one for each platform. A package manager installs the one that fits `os` and
// `cpu`. The Linux programs are static, so that one serves glibc and musl.

export const SCOPE = '@countersign';

export const PLATFORMS = {
  'linux-x64': { target: 'x86_64-unknown-linux-musl', os: 'linux', cpu: 'x64' },
  'linux-arm64': { target: 'aarch64-unknown-linux-musl', os: 'linux', cpu: 'arm64' },
  'darwin-x64': { target: 'x86_64-apple-darwin', os: 'darwin', cpu: 'x64' },
  'darwin-arm64': { target: 'aarch64-apple-darwin', os: 'darwin', cpu: 'arm64' },
  'win32-x64': { target: 'x86_64-pc-windows-gnu', os: 'win32', cpu: 'x64' },
};
