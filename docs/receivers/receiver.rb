# A receiver of dembrane webhooks that you can copy. Ruby 3.0 or newer with one gem:
#
#   gem install webrick
#   WEBHOOK_SECRET='whsec_…' ruby receiver.rb
#
# It verifies what arrives, writes it into a folder, answers, and only then works on
# it. The folder is what makes it safe: an event that has been answered is worked on
# even if this program is killed, and one that arrives twice is worked on once. With a
# database, a table with a unique column for the id does the same. In Rails or Sinatra,
# give fault_of request.body.read, and take the headers from request.get_header.
#
# Put a proxy that speaks TLS in front of it, and what you want to happen into handle.

require "fileutils"
require "json"
require "openssl"
require "webrick"

TOLERANCE_SECONDS = 5 * 60
MAX_BODY_BYTES = 32 << 20
RETRY_SECONDS = 10

# Your work. If it raises, it is tried again later; after a crash it may run twice.
def handle(event)
  puts "#{event["event"]} #{event["id"]}"
end

class Verifier
  def initialize(secret)
    @key = secret.start_with?("whsec_") ? secret.delete_prefix("whsec_").unpack1("m") : secret
    raise "set WEBHOOK_SECRET: without one, anybody can sign" if @key.empty?
  end

  # What is wrong with a delivery, or nil when it is ours and fresh.
  def fault_of(id, timestamp, signatures, body)
    unless id.to_s.match?(/\A[A-Za-z0-9_-]{1,64}\z/) && timestamp.to_s.match?(/\A[0-9]{1,12}\z/)
      return "webhook-id or webhook-timestamp is missing or malformed"
    end
    mac = OpenSSL::HMAC.digest("SHA256", @key, "#{id}.#{timestamp}.".b + body.b)
    expected = "v1,#{[mac].pack("m0")}"
    # While a secret is being changed there are two signatures; one that fits is enough.
    matching = signatures.to_s.split.select { |signature| OpenSSL.secure_compare(expected, signature) }
    return "no signature matches" if matching.empty?
    return "webhook-timestamp is too far from this computer's clock" if (Time.now.to_i - timestamp.to_i).abs > TOLERANCE_SECONDS
  end
end

class Inbox
  def initialize(folder)
    @folder = folder
    @done = File.join(folder, "done") # an empty file for each event; delete those older than a month
    FileUtils.mkdir_p(@done)
    @lock = Mutex.new
    @arrived = ConditionVariable.new
    @news = false
  end

  # Writes the event down, unless it is known.
  def keep(id, body)
    path = File.join(@folder, "#{id}.json")
    @lock.synchronize do
      return false if File.exist?(path) || File.exist?(File.join(@done, id))

      File.open("#{path}.part", "wb") do |part|
        part.write(body)
        part.fsync
      end
      File.rename("#{path}.part", path)
      @news = true
      @arrived.signal
    end
    true
  end

  # Begins with what was left when this program last ended.
  def work
    loop do
      Dir.glob(File.join(@folder, "*.json")).each { |path| work_on(path) }
      @lock.synchronize do
        @arrived.wait(@lock, RETRY_SECONDS) unless @news
        @news = false
      end
    end
  end

  private

  def work_on(path)
    done = File.join(@done, File.basename(path, ".json"))
    unless File.exist?(done)
      handle(JSON.parse(File.read(path, encoding: "UTF-8")))
      FileUtils.touch(done)
    end
    File.delete(path)
  rescue StandardError => e # one event must not stop the others
    warn "#{path}: #{e.full_message}"
  end
end

class Receiver < WEBrick::HTTPServlet::AbstractServlet
  def initialize(server, verifier, inbox)
    super(server)
    @verifier = verifier
    @inbox = inbox
  end

  def do_POST(request, response)
    body = request.body.to_s
    fault = @verifier.fault_of(request["webhook-id"], request["webhook-timestamp"], request["webhook-signature"], body)
    if body.bytesize > MAX_BODY_BYTES
      response.status, response.body = 413, "too large"
    elsif fault
      response.status, response.body = 401, fault
    else
      is_new = @inbox.keep(request["webhook-id"], body)
      response.status, response.body = is_new ? [202, "accepted"] : [200, "known already"]
    end
  end
end

$stdout.sync = true
inbox = Inbox.new(ENV.fetch("INBOX", "inbox"))
Thread.new { inbox.work }
server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: ENV.fetch("PORT", "8000").to_i, AccessLog: [])
server.mount("/", Receiver, Verifier.new(ENV.fetch("WEBHOOK_SECRET", "")), inbox)
trap("TERM") { server.shutdown }
trap("INT") { server.shutdown }
server.start
