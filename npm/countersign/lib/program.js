// Where the program is: in the optional dependency for this platform.

import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';

const require = createRequire(import.meta.url);

/**
 * The path of the program for this platform. COUNTERSIGN_BINARY names another one.
 *
 * Throws an Error whose message says what to install when there is none.
 */
export function programPath() {
  const chosen = process.env.COUNTERSIGN_BINARY;
  if (chosen) {
    if (existsSync(chosen)) return chosen;
    throw new Error(`COUNTERSIGN_BINARY names ${chosen}, which does not exist`);
  }
  const name = `@countersign/${process.platform}-${process.arch}`;
  const file = process.platform === 'win32' ? 'countersign.exe' : 'countersign';
  try {
    return require.resolve(`${name}/bin/${file}`);
  } catch {
    throw new Error(
      `${name}, which has the program for this platform, is not installed. Install again without ` +
        '--no-optional or --omit=optional. If there is no such package, build the program with ' +
        '"cargo install countersign" and name it in COUNTERSIGN_BINARY.',
    );
  }
}
