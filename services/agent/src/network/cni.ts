// Runs CNI plugins: one process per verb, configuration on stdin, result or error on stdout. It knows no container settings.
// Source: CNI specification 1.0.0, sections "Execution protocol" and "Error".
import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatingError } from '@pouch/process';

export const cniVersion = '1.0.0';
/** A plugin that takes longer (it may wait for the firewall's lock) is ended. */
const timeoutMs = 30_000;
const maxOutputBytes = 1 << 20;

/** A plugin said no, or could not say anything. */
export class CniError extends OperatingError {}

/** What a plugin answers to ADD, as far as it is used. */
export interface CniResult {
  readonly cniVersion: string;
  readonly interfaces?: readonly { readonly name: string; readonly mac?: string; readonly sandbox?: string }[];
  readonly ips?: readonly { readonly address: string; readonly gateway?: string }[];
}

export interface CniCall {
  readonly command: 'ADD' | 'DEL';
  readonly containerId: string;
  /** Empty for a DEL whose namespace is gone. */
  readonly netnsPath: string;
  /** Network configuration with `type` set to the plugin's name. */
  readonly config: Readonly<Record<string, unknown>> & { readonly type: string };
}

export class Cni {
  readonly #dirs: readonly string[];
  readonly #path: string;
  readonly #found = new Map<string, string>();

  /** `dirs`: where plugins are; `path`: PATH for what plugins start (iptables). */
  constructor(dirs: readonly string[], path: string) {
    this.#dirs = dirs;
    this.#path = path;
  }

  /** Runs one plugin. Rejects with CniError in the plugin's words. */
  async call({ command, containerId, netnsPath, config }: CniCall): Promise<CniResult | null> {
    const plugin = await this.#locate(config.type);
    const { code, stdout, stderr } = await execute(plugin, {
      env: { CNI_COMMAND: command, CNI_CONTAINERID: containerId, CNI_NETNS: netnsPath, CNI_IFNAME: 'eth0', CNI_PATH: this.#dirs.join(':'), PATH: this.#path },
      input: JSON.stringify({ cniVersion, ...config }),
    });
    const answer = parsed(stdout) as (CniResult & { msg?: string; details?: string }) | null;
    if (code !== 0) {
      const said = answer?.msg === undefined ? stderr.trim() || stdout.trim() : [answer.msg, answer.details].filter((text) => text !== undefined && text !== '').join(': ');
      throw new CniError('network', `CNI plugin ${config.type} failed at ${command}: ${said === '' ? `exit code ${code}` : said}`);
    }
    return answer;
  }

  async #locate(type: string): Promise<string> {
    const known = this.#found.get(type);
    if (known !== undefined) return known;
    for (const dir of this.#dirs) {
      const path = join(dir, type);
      try {
        await access(path, constants.X_OK);
        this.#found.set(type, path);
        return path;
      } catch {
        continue; // the next directory may have it
      }
    }
    throw new CniError('network', `no CNI plugin ${type} in ${this.#dirs.join(', ')}: install containernetworking-plugins`);
  }
}

/** Runs a program with a bound on time and output; the answer is never an exception but for a program that cannot be started. */
export async function execute(program: string, { args = [], env, input = '' }: { readonly args?: readonly string[]; readonly env: Readonly<Record<string, string>>; readonly input?: string }): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return await new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', (text: string) => { if (texts[name].length < maxOutputBytes) texts[name] += text; });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...texts }));
    child.stdin.on('error', () => undefined); // it ended without reading; its exit code tells
    child.stdin.end(input);
  });
}

function parsed(text: string): unknown {
  try {
    return text.trim() === '' ? null : JSON.parse(text);
  } catch {
    return null; // not CNI's JSON: the raw text is told instead
  }
}
