package kube

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strictyaml "sigs.k8s.io/yaml"

	"github.com/serindev/serin/workload"
)

// JobManifest reads a batch/v1 Job from YAML or JSON, strictly: an unknown or repeated field, another kind, or a second
// document is an error. It returns the Job as JSON, as it was written. Strings may have ${parameters} in them.
func JobManifest(text []byte) (json.RawMessage, error) {
	var job batchv1.Job
	doc, err := strict(text, "batch/v1", "Job", &job)
	if err != nil {
		return nil, err
	}
	if len(job.Spec.Template.Spec.Containers) == 0 {
		return nil, errors.New("spec.template.spec.containers: a Job without containers")
	}
	switch when := job.Annotations[workload.WhenCancelled]; when {
	case "", workload.Suspend, workload.RunOn:
	default:
		return nil, fmt.Errorf("metadata.annotations: %s is %q, expected %s or %s", workload.WhenCancelled, when, workload.Suspend, workload.RunOn)
	}
	return doc, nil
}

// TemplateManifest reads a v1 PodTemplate from YAML or JSON, as strictly, and returns its template, a PodTemplateSpec,
// as JSON.
func TemplateManifest(text []byte) (json.RawMessage, error) {
	var t corev1.PodTemplate
	doc, err := strict(text, "v1", "PodTemplate", &t)
	if err != nil {
		return nil, err
	}
	if len(t.Template.Spec.Containers) == 0 {
		return nil, errors.New("template.spec.containers: a pod template without containers")
	}
	var parts struct {
		Template json.RawMessage `json:"template"`
	}
	err = json.Unmarshal(doc, &parts)
	return parts.Template, err
}

func strict(text []byte, apiVersion, kind string, into any) (json.RawMessage, error) {
	doc, err := onlyDocument(text)
	if err != nil {
		return nil, err
	}
	out, err := strictyaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, plain(err)
	}
	var is struct{ APIVersion, Kind string }
	if err := json.Unmarshal(out, &is); err != nil {
		return nil, fmt.Errorf("expected a %s %s: %w", apiVersion, kind, err)
	}
	if is.APIVersion != apiVersion || is.Kind != kind {
		return nil, fmt.Errorf("expected apiVersion: %s and kind: %s, it has apiVersion: %q and kind: %q", apiVersion, kind, is.APIVersion, is.Kind)
	}
	if err := strictyaml.UnmarshalStrict(doc, into); err != nil {
		return nil, plain(err)
	}
	return out, nil
}

// plain drops what the library says about its own steps.
func plain(err error) error {
	text := err.Error()
	for _, noise := range []string{"error converting YAML to JSON: ", "error unmarshaling JSON: ", "while decoding JSON: ", "json: ", "yaml: "} {
		text = strings.TrimPrefix(text, noise)
	}
	return errors.New(text)
}

func onlyDocument(text []byte) ([]byte, error) {
	var only []byte
	r := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var content any
		if strictyaml.Unmarshal(doc, &content) == nil && content == nil {
			continue // nothing but comments
		}
		if only != nil {
			return nil, errors.New("expected one document, there are several")
		}
		only = doc
	}
	if only == nil {
		return nil, errors.New("it is empty")
	}
	return only, nil
}
