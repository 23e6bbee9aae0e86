// Runs Deck's own reducers, epics, selectors and pages on Gate's answers. The test drives window.deck.
import * as React from 'react';
import * as ReactDOM from 'react-dom';
import { Provider } from 'react-redux';
import { applyMiddleware, createStore } from 'redux';
import * as Creators from 'kayenta/actions/creators';
import { INITIALIZE } from 'kayenta/actions';
import { actionInterceptingMiddleware, asyncDispatchMiddleware, epicMiddleware } from 'kayenta/middleware';
import { rootReducer } from 'kayenta/reducers';
import * as configs from 'kayenta/service/canaryConfig.service';
import * as runs from 'kayenta/service/canaryRun.service';
import * as metadata from 'kayenta/service/metricsServiceMetadata.service';
import 'kayenta/metricStore';
import Report from 'kayenta/report/detail/loadStates';
import List from 'kayenta/report/list/loadStates';

const store = createStore(rootReducer, applyMiddleware(epicMiddleware, actionInterceptingMiddleware, asyncDispatchMiddleware));

const source = () => ({ data: [], loaded: true, activate() {}, deactivate() {}, refresh: () => Promise.resolve() });
const sources = { canaryConfigs: source(), canaryJudges: source(), canaryExecutions: source() };
const application = { name: 'shop', getDataSource: (n) => sources[n] };
async function open() {
  sources.canaryConfigs.data = await configs.getCanaryConfigSummaries('shop');
  sources.canaryJudges.data = await configs.listJudges();
  store.dispatch({ type: INITIALIZE, state: { data: { application, configSummaries: sources.canaryConfigs.data, judges: sources.canaryJudges.data } } });
}
function show(Page) {
  ReactDOM.unmountComponentAtNode(document.getElementById('root'));
  ReactDOM.render(<Provider store={store}><Page /></Provider>, document.getElementById('root'));
}
const until = (f) => new Promise((done) => { const go = () => { const v = f(store.getState()); if (v) { done(v); } else { setTimeout(go, 20); } }; go(); });
async function report(configId, runId) {
  store.dispatch(Creators.loadRunRequest({ configId, runId }));
  await until((s) => s.selectedRun.load !== 'requesting' && (s.selectedRun.load === 'failed' || s.selectedRun.run.id === runId));
  show(Report);
  return document.getElementById('root').innerText;
}
async function list() {
  const all = await runs.listCanaryExecutions('shop');
  store.dispatch(Creators.loadExecutionsSuccess({ executions: all.filter((e) => e.result) })); // as canary.dataSource.bridge.ts does
  show(List);
  return document.getElementById('root').innerText;
}
window.deck = { store, Creators, configs, runs, metadata, open, report, list, show, until, state: () => store.getState() };
