import { dirname } from 'node:path';

// The packages stand in the folder above.
const root = dirname(import.meta.dirname);

export default { turbopack: { root }, outputFileTracingRoot: root };
