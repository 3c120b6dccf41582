// Package check compares what is deployed with the programs: every overlay is
// rendered and decoded strictly, the compose file is loaded as compose does it,
// and names, ports, probes and limits in them must be those of the code.
package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// root is the repository, from where tests of this package run.
const root = "../.."

// overlay is everything that one overlay makes, by type and name.
type overlay struct {
	name            string
	pods            map[string]workload
	configMaps      map[string]corev1.ConfigMap
	secrets         map[string]corev1.Secret
	services        []corev1.Service
	accounts        []corev1.ServiceAccount
	budgets         []policyv1.PodDisruptionBudget
	networkPolicies []networkingv1.NetworkPolicy
}

// workload is what a Deployment and a StatefulSet have in common.
type workload struct {
	selector map[string]string
	template corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
	replicas int32
}

func overlays(t *testing.T) []overlay {
	t.Helper()
	folders, err := os.ReadDir(filepath.Join(root, "deploy/overlays"))
	require.NoError(t, err)
	var all []overlay
	for _, folder := range folders {
		all = append(all, render(t, folder.Name()))
	}
	require.NotEmpty(t, all)
	return all
}

// render builds an overlay as `kubectl apply -k` does and decodes every object.
func render(t *testing.T, name string) overlay {
	t.Helper()
	return renderFolder(t, name, filepath.Join(root, "deploy/overlays", name))
}

// renderWith builds an overlay with a component beside its own.
func renderWith(t *testing.T, name, component string) overlay {
	t.Helper()
	folder := t.TempDir()
	from := func(path string) string {
		absolute, err := filepath.Abs(filepath.Join(root, "deploy", path))
		require.NoError(t, err)
		relative, err := filepath.Rel(folder, absolute)
		require.NoError(t, err)
		return relative
	}
	content := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: webhooks\nresources: [%s]\ncomponents: [%s]\n",
		from("overlays/"+name), from("components/"+component))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600))
	return renderFolder(t, name, folder)
}

func renderFolder(t *testing.T, name, folder string) overlay {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	require.NoError(t, err, "render overlay %s", name)
	o := overlay{
		name:       name,
		pods:       map[string]workload{},
		configMaps: map[string]corev1.ConfigMap{},
		secrets:    map[string]corev1.Secret{},
	}
	for _, resource := range built.Resources() {
		manifest, err := resource.AsYAML()
		require.NoError(t, err)
		object, err := decode(manifest)
		require.NoError(t, err, "overlay %s, %s %s", name, resource.GetKind(), resource.GetName())
		require.NoError(t, o.add(object))
	}
	return o
}

func (o *overlay) add(object runtime.Object) error {
	switch v := object.(type) {
	case *appsv1.Deployment:
		o.pods[v.Name] = workload{selector: v.Spec.Selector.MatchLabels, template: v.Spec.Template}
	case *appsv1.StatefulSet:
		o.pods[v.Name] = workload{
			selector: v.Spec.Selector.MatchLabels, template: v.Spec.Template, claims: v.Spec.VolumeClaimTemplates,
			replicas: *v.Spec.Replicas,
		}
	case *corev1.ConfigMap:
		o.configMaps[v.Name] = *v
	case *corev1.Secret:
		o.secrets[v.Name] = *v
	case *corev1.Service:
		o.services = append(o.services, *v)
	case *corev1.ServiceAccount:
		o.accounts = append(o.accounts, *v)
	case *policyv1.PodDisruptionBudget:
		o.budgets = append(o.budgets, *v)
	case *networkingv1.NetworkPolicy:
		o.networkPolicies = append(o.networkPolicies, *v)
	case *corev1.Namespace:
	default:
		return fmt.Errorf("no check knows a %T", object)
	}
	return nil
}

// decode reads one manifest into its typed struct. A field that the type does
// not have, also one in the wrong case, and a key that is there twice are errors.
func decode(manifest []byte) (runtime.Object, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(appsv1.AddToScheme(scheme), corev1.AddToScheme(scheme),
		networkingv1.AddToScheme(scheme), policyv1.AddToScheme(scheme))
	if err != nil {
		return nil, fmt.Errorf("register types: %w", err)
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	object, _, err := decoder.Decode(manifest, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	return object, nil
}

func TestDecodeRefuses(t *testing.T) {
	const good = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  clusterIP: None\n"
	_, err := decode([]byte(good))
	require.NoError(t, err)
	for name, manifest := range map[string]string{
		"an unknown field":          good + "  sepctor: {}\n",
		"a field in the wrong case": good + "  Selector: {}\n",
		"a key twice":               good + "  clusterIP: None\n",
		"a value of the wrong type": good + "  ports: 80\n",
		"an unknown kind":           "apiVersion: v1\nkind: Servcie\nmetadata:\n  name: a\n",
		"a version that is gone":    "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata:\n  name: a\n",
	} {
		_, err := decode([]byte(manifest))
		assert.Error(t, err, name)
	}
}

// Rendering merges maps, and may hide a key that a source has twice.
func TestSourcesHaveNoKeyTwice(t *testing.T) {
	err := filepath.WalkDir(filepath.Join(root, "deploy"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, document := range documents(source) {
			var any any
			if err := yaml.UnmarshalStrict(document, &any); err != nil {
				t.Errorf("%s, document %d: %v", path, i+1, err)
			}
		}
		return nil
	})
	require.NoError(t, err)
}
