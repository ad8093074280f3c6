// A process for the tests of shutdown and crash: does what its argument says. Not a test file.
import { createLogger, installCrashHandler, onShutdown } from '@pouch/process';

const logger = createLogger({ service: 'ending', level: 'info' });
installCrashHandler(logger);
const say = (text: string): void => { process.stdout.write(`${text}\n`); };
const forever = (): Promise<void> => new Promise(() => undefined);
const alive = setInterval(() => undefined, 1_000);

switch (process.argv[2]) {
  case 'in-order':
    onShutdown([
      ['first', async () => { await new Promise((resolve) => setTimeout(resolve, 20)); say('first'); }],
      ['broken', () => { throw new Error('this step is broken'); }],
      ['last', () => say('last')],
    ], { logger });
    break;
  case 'hangs':
    onShutdown([['hangs', () => { say('hangs'); return forever(); }]], { logger, timeoutMs: 600_000 });
    break;
  case 'too-slow':
    onShutdown([['hangs', forever]], { logger, timeoutMs: 50 });
    break;
  case 'throws':
    setTimeout(() => { throw new RangeError('thrown by a timer'); }, 1);
    break;
  case 'rejects':
    void Promise.reject(new RangeError('rejected by nobody'));
    break;
  default:
    clearInterval(alive);
}
say('ready');
