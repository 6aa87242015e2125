import type { Plugin } from 'vite';

export interface CountersignOptions {
  /** The path of the dev server that leads to the API. Default: `/api`. */
  path?: string;
  /** Whether the API gets the path without `path` in front of it. Default: true. */
  stripPath?: boolean;
  /** Runs the sandbox instead of a proxy to AWS, so that no account is needed. Default: false. */
  sandbox?: boolean;
  /** The configuration file. Default: `countersign.toml` in Vite's root, else `amplify_outputs.json` there. */
  config?: string;
  /**
   * What the inspector keeps of requests, without secrets. Default: `heads`, and `bodies` with the sandbox. Its URL
   * stands in Vite's banner.
   */
  inspect?: 'off' | 'heads' | 'bodies';
  /** Further flags, for example `['--user', 'ada']`. */
  args?: string[];
  /** How long the start may take, in milliseconds. Default: 30000. */
  startTimeout?: number;
}

/** Signs the dev server's requests under `path` and forwards them to the API. */
export default function countersign(options?: CountersignOptions): Plugin;
