package check

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// documents splits a YAML file at its "---" lines.
func documents(file []byte) [][]byte { return bytes.Split(file, []byte("\n---\n")) }

// given lists the Secrets that deploy/README.md asks for before production is
// applied, with the keys that they must have.
func given(overlay string) map[string][]string {
	if overlay != "production" {
		return nil
	}
	return map[string][]string{
		"webhooks-keyset":          {"keyset.json"},
		"webhooks-directus":        {"token", "secret"},
		"webhooks-mongodb":         {"uri"},
		"webhooks-nats-api":        {"user.creds"},
		"webhooks-nats-dispatcher": {"user.creds"},
	}
}

// secretKeys returns the keys of every Secret that pods of the overlay can use.
func (o overlay) secretKeys() map[string][]string {
	keys := maps.Clone(given(o.name))
	if keys == nil {
		keys = map[string][]string{}
	}
	for name, secret := range o.secrets {
		keys[name] = slices.Collect(maps.Keys(secret.Data))
	}
	return keys
}

// A dispatcher talks to strangers: what it logs in to NATS with gives it the rights of
// nobody else.
func TestEachServiceHasItsOwnNATSCredentials(t *testing.T) {
	for _, o := range overlays(t) {
		if o.name != "production" {
			continue
		}
		for _, service := range []string{"webhooks-api", "webhooks-dispatcher"} {
			var secrets []string
			for _, volume := range o.pods[service].template.Spec.Volumes {
				if volume.Name == "nats" {
					secrets = append(secrets, volume.Secret.SecretName)
				}
			}
			assert.Equal(t, []string{strings.Replace(service, "webhooks-", "webhooks-nats-", 1)}, secrets, service)
		}
	}
}

func TestPodsAreHardened(t *testing.T) {
	for _, o := range overlays(t) {
		for name, w := range o.pods {
			t.Run(o.name+"/"+name, func(t *testing.T) {
				spec := w.template.Spec
				require.NotNil(t, spec.SecurityContext)
				assert.Equal(t, new(true), spec.SecurityContext.RunAsNonRoot)
				require.NotNil(t, spec.SecurityContext.RunAsUser)
				assert.Positive(t, *spec.SecurityContext.RunAsUser)
				require.NotNil(t, spec.SecurityContext.SeccompProfile)
				assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type)
				assert.Equal(t, new(false), spec.AutomountServiceAccountToken)
				assert.Equal(t, new(false), spec.EnableServiceLinks, "links put variables into the environment")
				assert.False(t, spec.HostNetwork || spec.HostPID || spec.HostIPC)
				for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
					require.NotNil(t, container.SecurityContext)
					assert.Equal(t, new(false), container.SecurityContext.AllowPrivilegeEscalation)
					assert.Equal(t, new(true), container.SecurityContext.ReadOnlyRootFilesystem)
					require.NotNil(t, container.SecurityContext.Capabilities)
					assert.Equal(t, []corev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop)
					assert.Empty(t, container.SecurityContext.Capabilities.Add)
					assert.Contains(t, container.Resources.Limits, corev1.ResourceMemory)
					assert.Contains(t, container.Resources.Requests, corev1.ResourceCPU)
					assert.Regexp(t, `:[a-z0-9.-]+$`, container.Image, "an image needs a tag")
					assert.NotContains(t, container.Image, ":latest")
				}
			})
		}
	}
}

// A name that a receiver does not have would be tried under the cluster's search
// domains, where somebody else may answer for it.
func TestDispatcherLooksNamesUpAsTheyAreWritten(t *testing.T) {
	for _, o := range overlays(t) {
		w, ok := o.pods["webhooks-dispatcher"]
		require.True(t, ok, o.name)
		require.NotNil(t, w.template.Spec.DNSConfig, o.name)
		assert.Contains(t, w.template.Spec.DNSConfig.Options, corev1.PodDNSConfigOption{Name: "ndots", Value: new("1")}, o.name)
	}
}

// Every name that an object uses for another one leads somewhere.
func TestReferencesLeadSomewhere(t *testing.T) {
	for _, o := range overlays(t) {
		for name, w := range o.pods {
			t.Run(o.name+"/pod/"+name, func(t *testing.T) {
				assert.Subset(t, w.template.Labels, w.selector)
				assertVolumes(t, o, w)
				assertEnvironmentSources(t, o, w)
			})
		}
		for _, service := range o.services {
			t.Run(o.name+"/service/"+service.Name, func(t *testing.T) {
				w := one(t, o.selected(service.Spec.Selector))
				for _, port := range service.Spec.Ports {
					assert.True(t, w.hasPort(port.TargetPort), "target port %s", &port.TargetPort)
				}
			})
		}
		for _, budget := range o.budgets {
			assert.Len(t, o.selected(budget.Spec.Selector.MatchLabels), 1, "pods of budget %s", budget.Name)
		}
		for _, policy := range o.networkPolicies {
			t.Run(o.name+"/policy/"+policy.Name, func(t *testing.T) {
				w := one(t, o.selected(policy.Spec.PodSelector.MatchLabels))
				for _, rule := range policy.Spec.Ingress {
					for _, port := range rule.Ports {
						assert.True(t, w.hasPort(*port.Port), "port %s", port.Port)
					}
				}
			})
		}
	}
}

func assertVolumes(t *testing.T, o overlay, w workload) {
	t.Helper()
	var volumes []string
	for _, claim := range w.claims {
		volumes = append(volumes, claim.Name)
	}
	for _, volume := range w.template.Spec.Volumes {
		volumes = append(volumes, volume.Name)
		if volume.ConfigMap != nil {
			assert.Contains(t, o.configMaps, volume.ConfigMap.Name)
		}
		if volume.Secret != nil {
			assert.Contains(t, o.secretKeys(), volume.Secret.SecretName)
			assert.Equal(t, new(int32(0o440)), volume.Secret.DefaultMode, "mode of %s", volume.Name)
			assert.NotNil(t, w.template.Spec.SecurityContext.FSGroup, "the mode is for the group")
		}
	}
	for _, container := range w.template.Spec.Containers {
		var mounted []string
		for _, mount := range container.VolumeMounts {
			mounted = append(mounted, mount.Name)
		}
		assert.ElementsMatch(t, volumes, mounted)
	}
}

func assertEnvironmentSources(t *testing.T, o overlay, w workload) {
	t.Helper()
	for _, container := range w.template.Spec.Containers {
		for _, from := range container.EnvFrom {
			require.NotNil(t, from.ConfigMapRef, "secrets are named one by one")
			assert.Contains(t, o.configMaps, from.ConfigMapRef.Name)
		}
		for _, variable := range container.Env {
			if variable.ValueFrom == nil {
				continue
			}
			ref := variable.ValueFrom.SecretKeyRef
			require.NotNil(t, ref, variable.Name)
			assert.Contains(t, o.secretKeys()[ref.Name], ref.Key)
		}
	}
}

// A policy that narrows the dispatcher to the internet must not open the
// addresses that only a cluster has.
func TestDispatcherIsKeptOutOfPrivateRanges(t *testing.T) {
	for _, o := range overlays(t) {
		for _, policy := range o.networkPolicies {
			if policy.Name != "webhooks-dispatcher" {
				continue
			}
			for _, rule := range policy.Spec.Egress {
				for _, peer := range rule.To {
					require.NotNil(t, peer.IPBlock)
					if strings.Contains(peer.IPBlock.CIDR, ":") {
						assert.Equal(t, "2000::/3", peer.IPBlock.CIDR, "global unicast only")
						continue
					}
					assert.Subset(t, peer.IPBlock.Except, []string{
						"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
					})
				}
			}
			return
		}
		t.Errorf("overlay %s has no policy for the dispatcher", o.name)
	}
}

// selected returns the workloads whose pods have the labels.
func (o overlay) selected(labels map[string]string) []workload {
	var found []workload
	for _, w := range o.pods {
		matches := len(labels) > 0
		for key, value := range labels {
			matches = matches && w.template.Labels[key] == value
		}
		if matches {
			found = append(found, w)
		}
	}
	return found
}

func one(t *testing.T, found []workload) workload {
	t.Helper()
	require.Len(t, found, 1, "pods selected")
	return found[0]
}

func (w workload) hasPort(port intstr.IntOrString) bool {
	for _, container := range w.template.Spec.Containers {
		for _, p := range container.Ports {
			if (port.Type == intstr.String && p.Name == port.StrVal) || (port.Type == intstr.Int && p.ContainerPort == port.IntVal) {
				return true
			}
		}
	}
	return false
}
