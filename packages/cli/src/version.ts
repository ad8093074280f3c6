// The CLI's own version, as its package says.
import packageFile from '../package.json' with { type: 'json' };

export const clientVersion: string = packageFile.version;
