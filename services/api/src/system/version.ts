// The version of this engine, from the package that it is.
import manifest from '../../package.json' with { type: 'json' };

export const engineVersion: string = manifest.version;
