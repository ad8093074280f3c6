export type NetworkOfSpec = { readonly kind: 'new' } | { readonly kind: 'host' } | { readonly kind: 'prepared'; readonly path: string } | { readonly kind: 'container'; readonly path: string };
import type { Any } from '@pouch/containerd';
import type { Container, ExecSpec, NetworkAttachment } from '@pouch/domain';
export interface SpecMaker {
  writeFiles(c: Container, a: NetworkAttachment | null): Promise<void>;
  make(c: Container, o: { layers: readonly string[]; network: NetworkOfSpec }): Promise<{ text: string }>;
  networkAtCreate(c: Container): NetworkOfSpec;
  runtime(name: string): { name: string; options?: Any | null };
  any(text: string): Any;
  written(id: string, text: string): void;
  forget(id: string): void;
  ensureWritten(id: string, text: string): Promise<void>;
  process(c: Container, spec: ExecSpec, size: { rows: number; columns: number } | null): Promise<object>;
}
