package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dembrane/webhooks/pkg/topology"
)

// single and cluster are the configurations that come along.
const (
	single  = "deploy/nats/nats.conf"
	cluster = "deploy/components/nats-cluster/nats.conf"
)

func natsOptions(t *testing.T, file string) *server.Options {
	t.Helper()
	t.Setenv("POD_NAME", "nats-0")
	options, err := server.ProcessConfigFile(filepath.Join(root, file))
	require.NoError(t, err)
	return options
}

func TestNATSAcceptsTheLargestEvent(t *testing.T) {
	for _, file := range []string{single, cluster} {
		assert.EqualValues(t, topology.MaxEventBytes+topology.HeaderAllowance, natsOptions(t, file).MaxPayload, file)
	}
}

// What the one server acknowledges survives the machine's power cut, as the docs say.
func TestNATSSyncsBeforeItAcknowledges(t *testing.T) {
	assert.True(t, natsOptions(t, single).SyncAlways)
}

// The configuration that the docs show for three servers can be used as it is.
func TestTheClusterInTheDocsSyncsBeforeItAcknowledges(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/operating.md"))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(page), "**In production**")
	require.True(t, found)
	parts := strings.Split(after, "```")
	require.Greater(t, len(parts), 1)
	options := &server.Options{}
	require.NoError(t, options.ProcessConfigString(parts[1]))
	assert.True(t, options.SyncAlways)
	assert.EqualValues(t, topology.MaxEventBytes+topology.HeaderAllowance, options.MaxPayload)
	assert.Len(t, options.Routes, 3)
	assert.Equal(t, natsOptions(t, single).StoreDir, options.StoreDir)
}

// A server with this configuration holds every stream and the bucket.
func TestNATSHoldsTheStreams(t *testing.T) {
	options := natsOptions(t, single)
	require.True(t, options.JetStream)
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.HTTPHost, options.HTTPPort = "", 0
	options.StoreDir = t.TempDir()
	options.NoSigs, options.NoLog = true, true
	s, err := server.NewServer(options)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(10*time.Second))
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{
		Replicas: 1, EventsMaxAge: 720 * time.Hour, DuplicateWindow: 10 * time.Minute,
	}))
}

// The store is on the volume, in compose and in Kubernetes, and fits on it.
func TestNATSStoreIsOnAVolume(t *testing.T) {
	options := natsOptions(t, single)
	volumes := loadCompose(t).Services["nats"].Volumes
	require.Len(t, volumes, 1)
	assert.Equal(t, options.StoreDir, volumes[0].Target)
	assert.Equal(t, "volume", volumes[0].Type)

	w := render(t, "local").pods["nats"]
	require.Len(t, w.claims, 1)
	mounts := map[string]string{}
	for _, mount := range w.template.Spec.Containers[0].VolumeMounts {
		mounts[mount.Name] = mount.MountPath
	}
	assert.Equal(t, options.StoreDir, mounts[w.claims[0].Name])
	assert.Less(t, options.JetStreamMaxStore, w.claims[0].Spec.Resources.Requests.Storage().Value())
}

// In production what is acknowledged is on two disks in two zones.
func TestNATSClusterSurvivesAZoneAndThePower(t *testing.T) {
	options := natsOptions(t, cluster)
	assert.True(t, options.SyncAlways)
	assert.Equal(t, "nats-0", options.ServerName)
	o := renderWith(t, "production", "nats-cluster")
	w := o.pods["nats"]
	assert.EqualValues(t, 3, w.replicas)
	assert.Len(t, options.Routes, int(w.replicas))
	for i, route := range options.Routes {
		assert.Equal(t, fmt.Sprintf("nats-%d.nats:%d", i, options.Cluster.Port), route.Host)
	}
	require.Len(t, w.template.Spec.TopologySpreadConstraints, 1)
	spread := w.template.Spec.TopologySpreadConstraints[0]
	assert.Equal(t, corev1.LabelTopologyZone, spread.TopologyKey)
	assert.Equal(t, corev1.DoNotSchedule, spread.WhenUnsatisfiable)
	assert.Equal(t, w.selector, spread.LabelSelector.MatchLabels)
	require.Len(t, w.claims, 1)
	assert.Less(t, options.JetStreamMaxStore, w.claims[0].Spec.Resources.Requests.Storage().Value())
	for _, port := range []int{options.Port, options.HTTPPort, options.Cluster.Port} {
		assert.True(t, w.hasPort(intstr.FromInt(port)), port)
	}
	budgets := 0
	for _, budget := range o.budgets {
		if budget.Name == "nats" {
			budgets++
			assert.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
		}
	}
	assert.Equal(t, 1, budgets)
	content, err := os.ReadFile(filepath.Join(root, cluster))
	require.NoError(t, err)
	assert.Equal(t, string(content), o.configMaps[w.template.Spec.Volumes[0].ConfigMap.Name].Data["nats.conf"])
}

// What runs is the version that the tests embed.
func TestNATSImageIsTheTestedVersion(t *testing.T) {
	embedded := regexp.MustCompile(`^\d+\.\d+`).FindString(server.VERSION)
	for where, image := range map[string]string{
		"compose":    loadCompose(t).Services["nats"].Image,
		"kubernetes": render(t, "local").pods["nats"].template.Spec.Containers[0].Image,
	} {
		assert.Equal(t, "nats:"+embedded+"-alpine", image, where)
	}
}

// The manifests mount the one file that is checked here, at the path that the
// server is told.
func TestNATSConfigIsMounted(t *testing.T) {
	project := loadCompose(t)
	configs := project.Services["nats"].Configs
	require.Len(t, configs, 1)
	folder, err := filepath.Abs(root)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(folder, "deploy/nats/nats.conf"), project.Configs[configs[0].Source].File)
	assert.Contains(t, project.Services["nats"].Command, configs[0].Target)

	o := render(t, "local")
	w := o.pods["nats"]
	require.NotNil(t, w.template.Spec.Volumes[0].ConfigMap)
	mount := w.template.Spec.Containers[0].VolumeMounts[0]
	assert.Equal(t, w.template.Spec.Volumes[0].Name, mount.Name)
	content, err := os.ReadFile(filepath.Join(root, "deploy/nats/nats.conf"))
	require.NoError(t, err)
	mounted := o.configMaps[w.template.Spec.Volumes[0].ConfigMap.Name].Data["nats.conf"]
	assert.Equal(t, strings.TrimSpace(string(content)), strings.TrimSpace(mounted))
	assert.Contains(t, w.template.Spec.Containers[0].Args, mount.MountPath+"/nats.conf")
}
