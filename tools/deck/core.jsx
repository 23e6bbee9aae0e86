// The parts of @spinnaker/core that Deck's pages need: requests to Gate, and small components. The real package would pull
// in all of Deck.
import * as React from 'react';
const failed = (what) => { throw new Error(what); };
class Builder {
  constructor(path) { this.parts = path; this.params = {}; }
  path(...more) { this.parts += '/' + more.map(encodeURIComponent).join('/'); return this; }
  query(q) { Object.assign(this.params, q); return this; }
  useCache() { return this; }
  send(method, body) {
    const q = new URLSearchParams();
    for (const [k, v] of Object.entries(this.params)) { if (v !== undefined && v !== null) { q.append(k, v); } }
    const options = { method, headers: { 'Content-Type': 'application/json' } };
    if (body !== undefined) { options.body = JSON.stringify(body); }
    return fetch('/gate' + this.parts + '?' + q, options).then((r) =>
      r.ok ? r.text().then((t) => (t ? JSON.parse(t) : null)) : r.json().then((data) => Promise.reject({ status: r.status, data })));
  }
  get() { return this.send('GET'); }
  post(b) { return this.send('POST', b); }
  put(b) { return this.send('PUT', b); }
  delete() { return this.send('DELETE'); }
}
export const REST = (path) => new Builder(path);
export const noop = () => {};
export const SETTINGS = { gateUrl: '/gate', canary: { metricsAccountName: 'prometheus', storageAccountName: 'serin', defaultJudge: 'NetflixACAJudge-v1.0', metricStore: 'prometheus', templatesEnabled: true, stagesEnabled: true, manualAnalysisEnabled: true, showAllConfigs: true, executionsCountOptions: [20], defaultExecutionCount: 20, reduxLogger: false } };
export const ReactInjector = { $stateParams: {}, $state: { go: () => Promise.resolve(), params: {}, current: {}, includes: () => false } };
export const timestamp = (ms) => new Date(ms).toISOString();
export const relativeTime = (ms) => new Date(ms).toISOString();
export const robotToHuman = (s) => s;
export const withErrorBoundary = (c) => c;
export const UUIDGenerator = { generateUuid: () => 'uuid' };
export const JsonUtils = { makeSortedStringFromObject: (o) => JSON.stringify(o, null, 2), diff: () => ({ details: [], changeBlocks: [] }) };
const plain = (name) => { const C = ({ children, value, text }) => React.createElement('span', { 'data-core': name }, children || value || text || null); return C; };
export const HelpField = plain('HelpField');
export const ValidationMessage = plain('ValidationMessage');
export const Spinner = plain('Spinner');
export const HoverablePopover = plain('HoverablePopover');
export const Tooltip = plain('Tooltip');
export const CopyToClipboard = plain('CopyToClipboard');
export const BreakString = plain('BreakString');
export const SubmitButton = plain('SubmitButton');
export const JsonEditor = plain('JsonEditor');
export const DiffView = plain('DiffView');
export const Registry = {}; export const OrchestratedItemTransformer = {}; export const HelpContentsRegistry = { register() {} };
export const ExecutionDetailsSectionService = {}; export const ApplicationDataSourceRegistry = { registerDataSource() {} };
export const ApplicationStateProvider = {}; export class Application {}
export const ReactModal = {}; export const ModalClose = plain('ModalClose'); export const useData = () => failed('useData');
