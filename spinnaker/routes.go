package spinnaker

import "net/http"

// routes holds all endpoints. docs/spinnaker.md lists those of Kayenta's that are missing, with the reasons.
func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, f := range map[string]func(*http.Request) (*reply, error){
		"GET /credentials":                      s.credentials,
		"GET /judges":                           s.judges,
		"POST /judges/judge":                    s.judgeStored,
		"POST /judge":                           s.remoteJudge,
		"GET /metadata/metricsService":          s.metricsService,
		"GET /canaryConfig":                     s.listConfigs,
		"POST /canaryConfig":                    s.createConfig,
		"GET /canaryConfig/{id}":                s.readConfig,
		"PUT /canaryConfig/{id}":                s.updateConfig,
		"DELETE /canaryConfig/{id}":             s.deleteConfig,
		"POST /canary":                          s.startAdHoc,
		"POST /canary/{id}":                     s.startCanary,
		"GET /canary/{id}":                      s.readCanary,
		"GET /canary/executions":                s.listCanaries,
		"PUT /pipelines/{id}/cancel":            s.cancelRun,
		"GET /metricSetPairList/{id}":           s.readPairs,
		"POST /metricSetPairList":               s.keepPairs,
		"POST /fetch/prometheus/query":          s.fetch,
		"GET /metricSetList/{id}":               s.readPairs, // fetch stores its sets where pairs are stored
		"POST /standalone_canary_analysis":      s.startAdHocAnalysis,
		"POST /standalone_canary_analysis/{id}": s.startAnalysis,
		"GET /standalone_canary_analysis/{id}":  s.readAnalysis,
		"GET /health":                           s.health,
		"GET /health/liveness":                  s.health,
		"GET /health/readiness":                 s.health,
	} {
		mux.HandleFunc(pattern, s.serve(f))
	}
	return s.outer(mux)
}
