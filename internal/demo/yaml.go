package main

const daemonYAML = `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:%d
  config: rollouts/
  prometheus: %s
`

// shopYAML looks every second, and has margins that the demo's traffic can decide in its time: one percent more errors
// than the baseline's half percent. The shop has no past to learn from, so the analysis says what is known about it:
// its requests fail by chance alone, and the arms hardly differ from minute to minute.
const shopYAML = `apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: shop}
spec:
  interval: 1s
  warmUp: 0s
  passAfter: 5s
  minRequests: 200
  metrics:
    - name: errors
      preset: traefik-errors
      margin: {relative: 25%%, absolute: 1%%}
      noise: 10%%
---
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic:
    traefikFile:
      path: %s
      rule: PathPrefix(` + "`/`" + `)
      entryPoints: [web]
      verify: {api: "%s"}
  stable: {servers: ["%s"]}
  canary: {servers: ["%s"]}
  guards:
    circuitBreaker: {expression: NetworkErrorRatio() > 0.5}
  analysis: shop
  steps:
    - ab:
        name: beta-users
        cohort: {header: {name: X-User-Group, value: beta}}
        split: 50%%
        decide: {min: 5s, max: 10m, inconclusive: rollback}
    - gray: {name: everybody, weights: [5%%, 20%%, 50%%], hold: 4s, decide: {max: 10m, inconclusive: rollback}}
    - gate: {name: full-release}
    - promote: {}
  rollback: {drain: 2s}
`
