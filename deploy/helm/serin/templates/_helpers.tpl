{{- define "serin.name" -}}
{{- if contains "serin" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-serin" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "serin.selector" -}}
app.kubernetes.io/name: serin
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "serin.labels" -}}
{{ include "serin.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "serin.account" -}}
{{ .Values.serviceAccount.name | default (include "serin.name" .) }}
{{- end }}

{{- define "serin.image" -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}{{ else }}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end }}
{{- end }}

{{- /* A key of a ConfigMap has no slashes. */ -}}
{{- define "serin.key" -}}
{{ . | replace "/" "__" }}
{{- end }}

{{- /* The document of kind Daemon: the user's values take precedence over the chart's. */ -}}
{{- define "serin.daemon" -}}
{{- $spec := dict "listen" "0.0.0.0:7474" "config" "/etc/serin/rollouts" }}
{{- if not (dig "prometheus" "scrape" false (.Values.daemon | default dict)) }}
{{- $_ := set $spec "prometheus" (dict "url" .Values.prometheus.url) }}
{{- end }}
{{- if .Values.tls.insecure }}
{{- $_ := set $spec "allowInsecure" true }}
{{- else }}
{{- $_ := set $spec "tls" (dict "cert" "/etc/serin/tls/tls.crt" "key" "/etc/serin/tls/tls.key") }}
{{- end }}
{{- if .Values.store.postgres.secretName }}
{{- $_ := set $spec "storeFile" "/etc/serin/store/url" }}
{{- $_ := set $spec "leader" (dict "lease" (include "serin.name" .)) }}
{{- else }}
{{- $_ := set $spec "store" "sqlite:/var/lib/serin/serin.db" }}
{{- end }}
{{- if .Values.customResources.enabled }}
{{- $resources := dict }}
{{- if not .Values.rbac.clusterWide }}{{ $_ := set $resources "namespaces" (.Values.namespaces | default (list .Release.Namespace)) }}{{ end }}
{{- with .Values.customResources.reach }}{{ $_ := set $resources "reach" . }}{{ end }}
{{- with .Values.customResources.hosts }}{{ $_ := set $resources "hosts" . }}{{ end }}
{{- if .Values.customResources.webhook.enabled }}{{ $_ := set $resources "admission" (dict "listen" "0.0.0.0:7475") }}{{ end }}
{{- $_ := set $spec "kubernetes" (dict "resources" $resources) }}
{{- end }}
{{- $auth := dict }}
{{- if .Values.auth.tokensSecret }}
{{- $_ := set $auth "tokens" "/etc/serin/tokens/tokens.yaml" }}
{{- end }}
{{- if .Values.auth.sessionKeySecret }}
{{- $_ := set $auth "sessions" (dict "keyFile" "/etc/serin/sessions/key") }}
{{- end }}
{{- if .Values.auth.kubernetes }}
{{- $_ := set $auth "kubernetes" dict }}
{{- end }}
{{- if $auth }}
{{- $_ := set $spec "auth" $auth }}
{{- end }}
{{- if .Values.spinnaker.enabled }}
{{- $_ := set $spec "spinnaker" (dict "listen" "0.0.0.0:8090" "basicAuth" (dict "username" "spinnaker" "passwordFile" "/etc/serin/spinnaker/password")) }}
{{- if .Values.tls.insecure }}
{{- $_ := set $spec.spinnaker "allowInsecure" true }}
{{- else }}
{{- $_ := set $spec.spinnaker "tls" (dict "cert" "/etc/serin/tls/tls.crt" "key" "/etc/serin/tls/tls.key") }}
{{- end }}
{{- end }}
{{- $spec := mergeOverwrite $spec (deepCopy .Values.daemon) }}
{{- toYaml (dict "apiVersion" "serin.dev/v1alpha1" "kind" "Daemon" "spec" $spec) }}
{{- end }}
